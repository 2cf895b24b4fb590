"use strict";
// Read-out: the values of all curves at the step under the pointer, or under the cursor moved with the arrow keys.

function axis(text) {
  const [kind, ...numbers] = text.split(" ");
  const [low, high, start, end] = numbers.map(Number);
  const of = kind === "log" ? Math.log10 : (value) => value;
  return {
    position: (value) => start + ((of(value) - of(low)) / (of(high) - of(low))) * (end - start),
    value: (position) => low + ((position - start) / (end - start)) * (high - low),
    start, end,
  };
}

function nearest(values, wanted) {
  let low = 0, high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low > 0 && wanted - values[low - 1] < values[low] - wanted ? low - 1 : low;
}

function written(value) {
  if (value === null) return "not finite";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(3);
  return value.toLocaleString("en", { maximumSignificantDigits: 5 });
}

function attach(figure) {
  const curves = JSON.parse(figure.querySelector("script").textContent);
  const output = figure.querySelector("output");
  const steps = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  let current = steps.length - 1;

  function show(svg, index) {
    current = Math.max(0, Math.min(steps.length - 1, index));
    const x = axis(svg.dataset.x).position(steps[current]);
    const cursor = svg.querySelector(".cursor");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.classList.add("on");
    const values = curves.map((curve) => {
      const at = nearest(curve.x, steps[current]);
      const there = curve.x[at] === steps[current] ? "" : ` (step ${curve.x[at].toLocaleString("en")})`;
      return `${curve.name} ${written(curve.y[at])}${there}`;
    });
    output.textContent = `step ${steps[current].toLocaleString("en")}: ${values.join(" · ")}`;
  }

  function hide(svg) {
    svg.querySelector(".cursor").classList.remove("on");
    output.textContent = "";
  }

  for (const svg of figure.querySelectorAll("svg")) {
    const across = axis(svg.dataset.x);
    const follow = (event) => {
      const box = svg.getBoundingClientRect();
      const position = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      show(svg, nearest(steps, across.value(position)));
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", () => hide(svg));
    svg.addEventListener("blur", () => hide(svg));
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      show(svg, current + move);
    });
  }
}

document.querySelectorAll("figure.chart").forEach(attach);
