"""Tell of performed procedure steps with odil, in one association. Arguments: host, port, called AE title, transfer syntax.

Reads JSON: {"requests": [{"operation", "uid", "dataset" as PS3.18 F writes it}]}.
Prints JSON: {"answers": [{"status", "uid", "comment"}], "ended": how the association ended}.
"""

import json
import sys

import odil

STEP = "1.2.840.10008.3.1.2.3.3"
host, port, called, syntax = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def request(operation, uid, dataset):
    number = association.next_message_id()
    if operation == "N-SET":
        return odil.messages.NSetRequest(number, STEP, uid, dataset)
    made = odil.messages.NCreateRequest(number, STEP, dataset)
    if uid:
        made.set_affected_sop_instance_uid(uid)
    return made


def text(command, name):
    tag = getattr(odil.registry, name)
    return command.as_string(tag)[0].decode() if command.has(tag) else ""


def answer(message):
    status = odil.messages.Response(message).get_status()
    command = message.get_command_set()
    return {"status": status, "uid": text(command, "AffectedSOPInstanceUID"), "comment": text(command, "ErrorComment")}


association = odil.Association()
association.set_peer_host(host)
association.set_peer_port(port)
context = odil.AssociationParameters.PresentationContext(STEP, [syntax], odil.AssociationParameters.PresentationContext.Role.SCU)
association.update_parameters().set_calling_ae_title("ODIL").set_called_ae_title(called).set_presentation_contexts([context])
association.associate()
answers = []
for asked in json.load(sys.stdin)["requests"]:
    dataset = odil.from_json(json.dumps(asked["dataset"]))
    association.send_message(request(asked["operation"], asked["uid"], dataset), STEP)
    answers.append(answer(association.receive_message()))
association.release()
sys.stdout.write(json.dumps({"answers": answers, "ended": "released"}) + "\n")
