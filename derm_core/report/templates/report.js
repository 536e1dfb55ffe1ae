// Every figure has the width of its box: on a phone, on a wide screen, after a turn, and on paper.
const TALLEST_ON_PAPER = 860; // pixels: with its heading it fits on a page of A4 or Letter

function drawInBox(box) {
  const { data, layout: own } = FIGURES[box.id];
  const [xaxis, yaxis] = ["xaxis", "yaxis"].map((axis) => ({ ...LAYOUT[axis], ...own[axis] }));
  const layout = { ...LAYOUT, ...own, xaxis, yaxis };
  const paper = ON_PAPER.matches || document.documentElement.classList.contains("paper");
  const width = Math.floor(box.getBoundingClientRect().width);
  const height = paper ? Math.min(layout.height, TALLEST_ON_PAPER) : layout.height;
  if (!width || (box.layout && box.layout.width === width && box.layout.height === height)) return;
  box.style.height = `${height}px`;
  if (box.layout) Plotly.relayout(box, { width, height });
  else Plotly.newPlot(box, data, { ...layout, width, height }, { displayModeBar: false });
}

const ON_PAPER = matchMedia("print");
const boxes = Object.keys(FIGURES).map((id) => document.getElementById(id));
const observer = new ResizeObserver((entries) => entries.forEach((entry) => drawInBox(entry.target)));
boxes.forEach((box) => observer.observe(box));
ON_PAPER.addEventListener("change", () => boxes.forEach(drawInBox));

// No box is observed between this event and the paper: the page takes the layout of paper here.
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("paper");
  boxes.forEach(drawInBox);
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("paper");
  boxes.forEach(drawInBox);
});
