"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const seconds = (t) => {
    const s = Math.abs(t), sign = t < 0 ? "−" : "";
    const [value, unit] = s >= 172800 ? [s / 86400, "d"] : s >= 7200 ? [s / 3600, "h"] : s >= 300 ? [s / 60, "min"] : [s, "s"];
    return sign + value.toPrecision(3).replace(/\.?0+$/, "") + " " + unit;
  };
  for (const page of document.querySelectorAll("section")) {
    const charts = [...page.querySelectorAll("svg[data-plot]")].map((svg) => {
      const [left, top, right, bottom, from, until] = svg.dataset.plot.split(" ").map(Number);
      const line = document.createElementNS(SVG, "line"), text = document.createElementNS(SVG, "text");
      line.setAttribute("y1", top);
      line.setAttribute("y2", bottom);
      line.setAttribute("class", "crosshair");
      text.setAttribute("y", bottom - 10);
      text.setAttribute("class", "crosshair");
      return { svg, left, right, from, until, line, text };
    });
    const show = (share) => {
      for (const c of charts) {
        if (share === null) {
          c.line.remove();
          c.text.remove();
          continue;
        }
        const x = c.left + share * (c.right - c.left);
        c.line.setAttribute("x1", x);
        c.line.setAttribute("x2", x);
        c.text.setAttribute("x", x + (share > 0.8 ? -12 : 12));
        c.text.setAttribute("text-anchor", share > 0.8 ? "end" : "start");
        c.text.textContent = seconds(c.from + share * (c.until - c.from));
        c.svg.append(c.line, c.text);
      }
    };
    for (const c of charts) {
      c.svg.addEventListener("pointermove", (event) => {
        const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(c.svg.getScreenCTM().inverse());
        const share = (at.x - c.left) / (c.right - c.left);
        show(share >= 0 && share <= 1 ? share : null);
      });
      c.svg.addEventListener("pointerleave", () => show(null));
    }
  }
  for (const figure of document.querySelectorAll("figure")) {
    const items = [...figure.querySelectorAll(".legend li")];
    if (items.length < 2) continue;
    items.forEach((item, number) => {
      const toggle = document.createElement("button");
      toggle.type = "button";
      toggle.append(...item.childNodes);
      toggle.setAttribute("aria-pressed", "true");
      toggle.addEventListener("click", () => {
        const shown = toggle.getAttribute("aria-pressed") !== "true";
        toggle.setAttribute("aria-pressed", String(shown));
        figure.querySelectorAll(".line-" + number).forEach((part) => (part.style.display = shown ? "" : "none"));
      });
      item.append(toggle);
    });
  }
})();
