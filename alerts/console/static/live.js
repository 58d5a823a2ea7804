// Refreshes the counts of the first page. It swaps the children of the parts
// that move and keeps the parts, so scroll positions and the focus stay.
(() => {
  "use strict";
  const every = 2000; // milliseconds
  const patience = 35000;
  const connection = document.getElementById("connection");
  const pause = document.getElementById("pause");
  let paused = false;

  const parts = (root) => root.querySelectorAll("[data-part]");

  function swap(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const now = new Map();
    for (const part of parts(document)) now.set(part.dataset.part, part);
    for (const part of parts(page)) {
      const old = now.get(part.dataset.part);
      if (old && old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes);
    }
  }

  function say(text) {
    if (connection.textContent !== text) connection.textContent = text;
  }

  async function refresh() {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch("/live", { signal: AbortSignal.timeout(patience) });
        if (!answer.ok) throw new Error(answer.statusText);
        swap(await answer.text());
        say("");
      } catch {
        say("No answer; these numbers are old.");
      }
    }
    setTimeout(refresh, every);
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Paused" : "Pause";
  });
  setTimeout(refresh, every);
})();
