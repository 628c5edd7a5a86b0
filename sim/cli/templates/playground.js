"use strict";
(() => {
  const form = document.getElementById("knobs"), place = document.getElementById("answer");
  const state = document.getElementById("state"), fields = [...form.elements].filter((field) => field.name);
  let timer, asking;
  // The address holds what differs from the file.
  const query = () => {
    const moved = fields.filter((field) => field.value !== field.dataset.file);
    return new URLSearchParams(moved.map((field) => [field.name, field.value])).toString();
  };
  const show = () => {
    const dies = document.getElementById("kill").value.includes(":");
    for (const field of fields) {
      const knob = field.closest(".knob"), output = knob.querySelector("output");
      if (output) output.textContent = field.value + output.dataset.unit;
      knob.classList.toggle("moved", field.value !== field.dataset.file);
      if (field.name === "at" || field.name === "for") knob.hidden = !dies;
    }
  };
  const ask = async () => {
    clearTimeout(timer);
    const text = query(), own = new AbortController();
    history.replaceState(null, "", text ? "?" + text : location.pathname);
    // Closing the older question's connection ends its simulation.
    if (asking) asking.abort();
    asking = own;
    place.setAttribute("aria-busy", "true");
    state.textContent = "Simulating…";
    try {
      const response = await fetch("/answer?" + text, { signal: own.signal });
      const answer = await response.text();
      if (asking !== own) return;
      place.innerHTML = answer;
      const verdict = place.querySelector(".verdict strong");
      state.textContent = verdict ? verdict.textContent : "";
    } catch {
      if (asking !== own) return;
      state.textContent = "⚠ The server does not answer: is sim serve still running?";
    }
    place.removeAttribute("aria-busy");
  };
  form.addEventListener("input", (event) => {
    show();
    if (!event.target.checkValidity()) return;
    clearTimeout(timer);
    timer = setTimeout(ask, 120);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  document.getElementById("reset").addEventListener("click", (event) => {
    event.preventDefault();
    for (const field of fields) field.value = field.dataset.file;
    show();
    ask();
  });
  show();
})();
