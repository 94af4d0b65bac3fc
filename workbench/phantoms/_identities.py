"""People who do not exist, one for each phantom.

Knows: names, birth dates, weights and sizes of fictitious patients.
Does not know: datasets.
"""

from workbench.phantoms._modules import Person

WHOLE_BODY = Person("Linden^Jonas^Emil", "PW-100421", "19580314", "M", 75.0, 1.78, "068Y")
EYES = Person("Ahlgren^Sigrún^Maj", "PW-100733", "19610702", "F", 64.0, 1.66, "064Y")
CORNEA = Person("Yamada^Tarou=山田^太郎=やまだ^たろう", "PW-100808", "19490111", "M", 61.0, 1.68, "077Y")
THORAX = Person("Okonkwo^Ada", "PW-100915", "19770523", "F", 70.0, 1.72, "048Y")
