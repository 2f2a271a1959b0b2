(() => {
  "use strict";
  const box = document.getElementById("find");
  if (!box) return;
  box.closest("form").hidden = false;
  box.closest("form").addEventListener("submit", (event) => event.preventDefault());
  const said = document.getElementById("said");
  const plain = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  const words = () => plain(box.value).split(/\s+/).filter(Boolean);
  let wait = 0;
  const soon = (deed) => box.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(deed, 120); });
  const held = document.getElementById("things");
  if (!held) {
    const rows = [...document.querySelectorAll("[data-row]")].map((row) => [row, plain(row.textContent)]);
    soon(() => {
      const asked = words();
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !asked.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      said.textContent = asked.length ? `${shown} of ${rows.length} on this page` : "";
    });
    return;
  }
  const list = document.getElementById("found");
  const { titles, things } = JSON.parse(held.textContent);
  const texts = things.map(([name, day, kind]) => plain(`${name} ${day} ${titles[kind]}`));
  soon(() => {
    const asked = words();
    const hits = asked.length ? things.filter((_, at) => asked.every((word) => texts[at].includes(word))) : [];
    list.replaceChildren(...hits.slice(0, 100).map(([name, day, kind, page, row]) => {
      const item = document.createElement("li"), link = document.createElement("a"), note = document.createElement("span");
      link.textContent = name;
      link.href = `pages/${page}.html#r${row}`;
      note.textContent = ` · ${titles[kind]}${day ? " · " + day : ""}`;
      note.className = "soft small";
      item.append(link, note);
      return item;
    }));
    said.textContent = asked.length ? `${hits.length} found${hits.length > 100 ? ", the first 100 are shown" : ""}` : "";
  });
})();
