(() => {
  const root = document.getElementById("TREE_ID");
  if (!root) return;
  const search = root.querySelector("input");
  const status = root.querySelector("[role=status]");
  const lines = Array.from(root.querySelectorAll("details, div"));
  const own = (line) => (line.tagName === "DETAILS" ? line.firstElementChild : line).textContent.toLowerCase();
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let found = 0;
    const kept = new Set();
    for (const line of lines) {
      if (!wanted || own(line).includes(wanted)) {
        found += 1;
        for (let at = line; at && at !== root; at = at.parentElement) kept.add(at);
      }
    }
    for (const line of lines) {
      line.hidden = !kept.has(line);
      if (line.tagName === "DETAILS") line.open = wanted !== "" && kept.has(line);
    }
    status.textContent = wanted ? `${found} found` : "";
  });
})();
