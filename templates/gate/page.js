(() => {
  "use strict";
  const main = document.querySelector("main");
  const text = document.getElementById("text");
  const bar = document.getElementById("progress");
  const began = Date.now();
  const seconds = Number(main.dataset.seconds) || 30;
  let asked = false;
  const wake = async () => {
    asked = true;
    const body = new URLSearchParams({ word: main.dataset.word });
    try {
      const answer = await fetch("/.bivouac/wake", { method: "POST", body, headers: { accept: "application/json" } });
      if (answer.headers.get("x-bivouac-gate") === null) { location.reload(); return; }
      text.textContent = (await answer.json()).text;
    } catch { asked = false; }
  };
  const look = async () => {
    const passed = (Date.now() - began) / 1000;
    bar.max = 1;
    bar.value = 1 - Math.exp(-1.5 * passed / seconds);
    try {
      const answer = await fetch("/.bivouac/state", { headers: { accept: "application/json" }, cache: "no-store", redirect: "manual" });
      const ours = answer.headers.get("x-bivouac-gate") !== null;
      // Without the gate's mark somebody else answers: the app itself, or an ingress controller between two ways.
      if (!ours && answer.status < 500) { location.reload(); return; }
      if (ours) {
        const found = await answer.json();
        const wakeable = found.state === "asleep" && !main.dataset.word;
        if (found.state === "awake" || wakeable) { location.reload(); return; }
        // The records are a moment behind what was asked for.
        if (!(asked && found.state === "asleep")) text.textContent = found.text;
        else if (passed > 2 * seconds + 30) text.textContent = "It was asked to wake, and still sleeps. Its pull request may say why.";
      }
    } catch { /* The next look may get through. */ }
    setTimeout(look, 1000);
  };
  // A page that nobody looks at wakes nothing.
  const seen = () => document.visibilityState === "visible" && !document.prerendering;
  const begin = () => { if (main.dataset.state === "asleep" && main.dataset.word && !asked && seen()) wake(); };
  document.addEventListener("visibilitychange", begin);
  begin();
  setTimeout(look, 1000);
})();
