// The image of the dot under the pointer, images in place of dots, and the dots in view that a chart leaves out. It
// listens to charts that st.plotly_chart drew and draws on a canvas of its own above each; the charts and their
// selections are left alone. Images and further dots come from the server by HTTP (pages/ui/map_route.py) and are kept
// here; the trigger "chosen" selects an image, "clicked" that of a further dot.

const KEPT = 3000; // images in memory
const ASKED = 40; // rows in a request; the server answers those that it can prepare in a moment
const URGENT = 6; // rows in a request for the image under the pointer, its neighbours among them
const AROUND = 32; // dots around a resting pointer whose images are fetched ahead
const REST = 300; // milliseconds without a new dot, after which images around it are fetched
const FEW = 400; // dots in view, up to which images take their place (map_hover.html names both numbers)
const CENTRAL = 200; // images at most in place of dots
const PATIENCE = 3000; // milliseconds until images are asked for again after a request that failed
const REACH = 30; // pixels from a dot at which the pointer means it, as in map_scatter.HOVER_DISTANCE
const MARGIN = 2; // pixels that a dot must be away to be the next one in a direction
const SETTLED = 80; // milliseconds without a movement of the map, after which dots of the view are asked for
const AROUND_VIEW = 0.25; // of the view's width and height on each side: a small movement needs no new request
const STILL = 4; // pixels that a pointer may move between press and release of a click
const AFTER_CHART = 80; // milliseconds: what the chart itself selects by a click is sent before
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const explorers = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  if (!explorers.has(parentElement)) explorers.set(parentElement, new Explorer(parentElement));
  const explorer = explorers.get(parentElement);
  explorer.update(data, setTriggerValue);
  return () => {
    explorer.remove();
    explorers.delete(parentElement);
  };
}

// One chart: its Plotly element, its dots, and the canvas above it.
class Chart {
  constructor(key) {
    this.key = key;
    this.plot = null;
    this.canvas = document.createElement("canvas");
    Object.assign(this.canvas.style, { position: "absolute", pointerEvents: "none" });
    this.canvas.className = "map-images";
    this.further = []; // dots that the chart leaves out, of the region that was asked for last
    this.region = null; // that region, {west, east, south, north}
  }

  find() {
    const plot = document.querySelector(`.st-key-${this.key} .js-plotly-plot`);
    return plot?.on && plot.querySelector(".svg-container") && plot._fullLayout?.xaxis?._length > 0 ? plot : null;
  }

  // Dots that are not hidden by the legend: {row, x, y, colour, pale}; further ones also {trace, isChosen}.
  dots() {
    const traces = this.plot._fullData;
    if (this.traces !== traces) {
      this.traces = traces;
      const own = traces.filter(trace => trace.customdata), shown = own.filter(trace => trace.visible === true);
      const partly = shown.some(trace => trace.selectedpoints);
      this.all = shown.flatMap(trace => {
        const selected = partly ? new Set(trace.selectedpoints || []) : null;
        const colour = typeof trace.marker.color === "string" ? trace.marker.color : "#7F8587";
        return Array.from(trace.customdata, (row, place) => ({
          row, x: trace.x[place], y: trace.y[place], colour, pale: selected !== null && !selected.has(place),
        }));
      });
      const outlines = (this.plot._fullLayout.selections ?? []).map(corners);
      for (const dot of this.further) {
        if (own[dot.trace] && own[dot.trace].visible !== true) continue;
        dot.pale = partly && !(outlines.length ? outlines.some(one => inside(one, dot)) : dot.isChosen);
        this.all.push(dot);
      }
      this.size = own[0]?.marker.size ?? 3;
    }
    return this.all;
  }

  // Whether the dots of the whole view were asked for, and none was left out.
  isComplete() {
    const had = this.region, { west, east, south, north } = this.view();
    return had?.complete && had.west <= west && had.east >= east && had.south <= south && had.north >= north;
  }

  view() {
    const { xaxis, yaxis } = this.plot._fullLayout;
    return { west: xaxis.range[0], east: xaxis.range[1], south: yaxis.range[0], north: yaxis.range[1] };
  }

  // Dots in view. Each is given its place in pixels of the plot's area, {left, top}.
  inView() {
    const { xaxis, yaxis } = this.plot._fullLayout;
    const [west, east] = xaxis.range, [south, north] = yaxis.range;
    const seen = [];
    for (const dot of this.dots()) {
      dot.left = ((dot.x - west) / (east - west)) * xaxis._length;
      dot.top = ((north - dot.y) / (north - south)) * yaxis._length;
      if (dot.left >= 0 && dot.top >= 0 && dot.left <= xaxis._length && dot.top <= yaxis._length) seen.push(dot);
    }
    return seen;
  }

  // The plot's area in the window.
  area() {
    const { xaxis, yaxis } = this.plot._fullLayout, box = this.plot.getBoundingClientRect();
    const left = box.left + xaxis._offset, top = box.top + yaxis._offset;
    return { left, top, right: left + xaxis._length, centre: { left: xaxis._length / 2, top: yaxis._length / 2 } };
  }
}

// The `count` dots nearest to a place, the nearest first.
function nearest(dots, { left, top }, count) {
  const away = Float64Array.from(dots, dot => (dot.left - left) ** 2 + (dot.top - top) ** 2);
  const limit = dots.length > count ? away.slice().sort()[count - 1] : Infinity;
  const near = [];
  dots.forEach((dot, place) => away[place] <= limit && near.push([away[place], dot]));
  return near.sort((a, b) => a[0] - b[0]).slice(0, count).map(([, dot]) => dot);
}

// The corners [x, y] of a box or lasso that was drawn in a chart.
function corners({ type, path, x0, x1, y0, y1 }) {
  if (type === "rect") return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  return path.slice(1, -1).split("L").map(point => point.split(",").map(Number));
}

// Whether a dot lies inside an outline: by the count of its edges to the right.
function inside(outline, { x, y }) {
  let odd = false;
  outline.forEach(([x1, y1], place) => {
    const [x2, y2] = outline[(place + 1) % outline.length];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) odd = !odd;
  });
  return odd;
}

// Dots of the answer that MapDetail.within writes.
function readDots(buffer) {
  const [count] = new Uint32Array(buffer, 0, 1);
  const rows = new Int32Array(buffer, 8, count), start = 8 + 4 * count;
  const x = new Float32Array(buffer, start, count), y = new Float32Array(buffer, start + 4 * count, count);
  const traces = new Uint8Array(buffer, start + 8 * count, count);
  const isChosen = new Uint8Array(buffer, start + 9 * count, count);
  const colours = new Uint8Array(buffer, start + 10 * count, 3 * count);
  return Array.from(rows, (row, place) => ({
    row, x: x[place], y: y[place], trace: traces[place], isChosen: isChosen[place] === 1, pale: false,
    colour: `rgb(${colours.subarray(3 * place, 3 * place + 3)})`,
  }));
}

// A dot's picture, as plotly draws it: a disc of this colour, the same one for all dots alike.
const marks = new Map();
function mark(colour, size, pale) {
  const key = `${colour}${size}${pale}`;
  if (!marks.has(key)) {
    const picture = document.createElement("canvas"), side = Math.ceil(size * 2) + 2, pen = picture.getContext("2d");
    picture.width = picture.height = side;
    pen.globalAlpha = pale ? 0.25 : 0.8;
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(side / 2, side / 2, size, 0, 2 * Math.PI);
    pen.fill();
    marks.set(key, picture);
  }
  return marks.get(key);
}

// The server's own address, above that of the page: where Streamlit's scripts come from.
function serverAddress() {
  const [script] = document.querySelectorAll('script[src*="static/js/"]');
  return script ? script.src.slice(0, script.src.indexOf("static/js/")) : new URL(".", location.href).href;
}

// The nearest dot within 45 degrees of a direction; undefined where there is none.
function step(dots, from, [right, down]) {
  const inside = dots.filter(dot => {
    const along = (dot.left - from.left) * right + (dot.top - from.top) * down;
    const aside = Math.abs((dot.left - from.left) * down) + Math.abs((dot.top - from.top) * right);
    return along >= MARGIN && aside <= along;
  });
  return nearest(inside, from, 1)[0];
}

class Explorer {
  constructor(root) {
    this.panel = root.querySelector(".panel");
    this.card = root.querySelector(".card");
    this.hint = root.querySelector(".hint");
    this.note = root.querySelector(".note");
    this.picture = root.querySelector("img");
    this.box = root.querySelector("input");
    this.images = new Map(); // row: {src, name, lines, bitmap}
    this.charts = [];
    this.current = null; // {chart, row}
    this.asking = null; // what ends the request that is under way
    this.failed = 0; // when a request failed last
    this.panel.onkeydown = event => this.press(event);
    this.box.onchange = () => this.charts.forEach(chart => this.draw(chart));
    this.place = () => this.placeCard();
    addEventListener("scroll", this.place, true);
    addEventListener("resize", this.place);
    this.timer = setInterval(() => this.attach(), 100); // charts come and go as the page runs
    this.show(null);
  }

  update(data, trigger) {
    this.trigger = trigger;
    if (data.charts.join() !== this.charts.map(chart => chart.key).join()) {
      this.charts.forEach(chart => this.detach(chart));
      this.charts = data.charts.map(key => new Chart(key));
    }
    for (const chart of this.charts) this.offer(chart, data.points[chart.key]);
    const address = new URL(data.images, serverAddress()).href;
    if (address !== this.address) this.failed = 0;
    this.address = address;
    this.attach();
    this.askSoon();
  }

  remove() {
    clearInterval(this.timer);
    clearTimeout(this.rest);
    this.asking?.abort();
    this.charts.forEach(chart => this.offer(chart, undefined));
    removeEventListener("scroll", this.place, true);
    removeEventListener("resize", this.place);
    this.charts.forEach(chart => this.detach(chart));
  }

  keep({ row, ...image }) {
    if (image.src) {
      image.bitmap = new Image();
      image.bitmap.onload = () => this.charts.forEach(chart => chart.layer?.has(row) && this.drawSoon(chart));
      image.bitmap.src = image.src;
    }
    this.images.delete(row);
    this.images.set(row, image);
    if (this.images.size > KEPT) this.images.delete(this.images.keys().next().value);
  }

  // ---- the charts

  attach() {
    for (const chart of this.charts) {
      const plot = chart.find();
      if (plot === chart.plot && (!plot || chart.canvas.isConnected)) continue;
      this.detach(chart);
      if (plot) this.listen(chart, plot);
    }
    if (this.failed && Date.now() - this.failed > PATIENCE) {
      this.failed = 0;
      this.ask();
    }
  }

  listen(chart, plot) {
    const drawn = () => this.drawSoon(chart);
    const clicked = event => {
      const row = event.points.find(point => point.customdata !== undefined)?.customdata;
      const isOwn = Date.now() - (chart.clickedFurther ?? 0) > 10 * AFTER_CHART;
      if (row !== undefined && isOwn) this.show({ chart, row: Number(row) });
      this.panel.focus({ preventScroll: true }); // the arrow keys go on from here
    };
    const selected = () => {
      chart.traces = null;
      drawn();
    };
    chart.plot = plot;
    chart.handlers = {
      plotly_click: clicked, plotly_selected: selected, plotly_deselect: selected, plotly_afterplot: drawn,
      plotly_relayouting: drawn, plotly_relayout: () => this.lookSoon(chart),
    };
    for (const [name, handler] of Object.entries(chart.handlers)) plot.on(name, handler);
    // Not plotly_hover: it is silent inside a box or lasso that was drawn.
    chart.pointed = event => this.point(chart, event);
    chart.left = () => this.leave();
    plot.addEventListener("mousemove", chart.pointed);
    plot.addEventListener("mouseleave", chart.left);
    chart.pressed = event => this.pressDot(chart, event);
    plot.addEventListener("pointerdown", chart.pressed, true);
    plot.querySelector(".svg-container").append(chart.canvas);
    this.draw(chart);
    this.placeCard();
    this.askSoon();
    this.lookSoon(chart);
  }

  detach(chart) {
    if (!chart.plot) return;
    for (const [name, handler] of Object.entries(chart.handlers)) chart.plot.removeListener?.(name, handler);
    chart.plot.removeEventListener("mousemove", chart.pointed);
    chart.plot.removeEventListener("mouseleave", chart.left);
    chart.plot.removeEventListener("pointerdown", chart.pressed, true);
    chart.canvas.remove();
    chart.plot = chart.traces = null;
    if (this.current?.chart === chart) this.show(null);
  }

  drawSoon(chart) {
    if (chart.frame) return;
    chart.frame = requestAnimationFrame(() => {
      chart.frame = null;
      if (!chart.plot) return;
      this.draw(chart);
      if (chart.layer.size) this.ask();
    });
  }

  // Images in place of the dots nearest to the centre, where few are in view, and a ring around the current dot.
  draw(chart) {
    const { xaxis, yaxis } = chart.plot._fullLayout, { canvas } = chart, scale = devicePixelRatio || 1;
    canvas.width = xaxis._length * scale;
    canvas.height = yaxis._length * scale;
    Object.assign(canvas.style, {
      left: `${xaxis._offset}px`, top: `${yaxis._offset}px`, width: `${xaxis._length}px`, height: `${yaxis._length}px`,
    });
    const pen = canvas.getContext("2d"), seen = chart.inView();
    pen.scale(scale, scale);
    const replaced = this.box.checked && seen.length <= FEW;
    const central = replaced ? nearest(seen, chart.area().centre, CENTRAL) : [];
    const side = Math.min(56, Math.max(24, 0.7 * Math.sqrt((xaxis._length * yaxis._length) / (seen.length || 1))));
    chart.layer = new Set(central.map(dot => dot.row));
    for (const dot of seen) {
      if (dot.trace === undefined) continue; // the chart draws it
      const picture = mark(dot.colour, (chart.size / 2) * scale, dot.pale), side = picture.width / scale;
      pen.drawImage(picture, dot.left - side / 2, dot.top - side / 2, side, side);
    }
    // The density below says nothing where every dot in view is drawn.
    const visibility = chart.isComplete() ? "hidden" : "";
    for (const density of chart.plot.querySelectorAll(".imagelayer image")) density.style.visibility = visibility;
    canvas.dataset.further = chart.further.length; // how many there are of the region that was asked for
    canvas.dataset.region = Object.values(chart.region ?? {});
    this.note.hidden = !this.layerRows().some(row => this.images.get(row)?.is_reconstruction);
    const dot = this.current && seen.find(one => one.row === this.current.row);
    for (const other of central.reverse()) {
      if (other !== dot) drawImage(pen, this.images.get(other.row)?.bitmap, other, side);
    }
    if (!dot) return;
    const bitmap = chart.layer.has(dot.row) && this.images.get(dot.row)?.bitmap;
    if (bitmap) drawImage(pen, bitmap, { ...dot, pale: false }, side); // on top of the others
    drawRing(pen, dot, bitmap ? 0.75 * side : 7);
  }

  // ---- dots that a chart leaves out

  // `address`: where they are; undefined of a chart that draws all.
  offer(chart, address) {
    const whole = address && new URL(address, serverAddress()).href;
    if (whole === chart.address) return;
    chart.looking?.abort();
    Object.assign(chart, { address: whole, further: [], region: null, traces: null, looking: null });
    this.lookSoon(chart);
  }

  lookSoon(chart) {
    clearTimeout(chart.settled);
    if (chart.address) chart.settled = setTimeout(() => this.look(chart), SETTLED);
  }

  // Ask for the dots in view and a little around it, unless all of them are there.
  async look(chart) {
    if (!chart.plot || !chart.address) return;
    if (chart.isComplete()) return;
    const { west, east, south, north } = chart.view();
    const right = AROUND_VIEW * (east - west), up = AROUND_VIEW * (north - south);
    const region = { west: west - right, east: east + right, south: south - up, north: north + up };
    chart.looking?.abort();
    const looking = (chart.looking = new AbortController()), { address } = chart;
    try {
      const answer = await fetch(`${address}?${new URLSearchParams(region)}`, { signal: looking.signal });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const buffer = await answer.arrayBuffer();
      if (looking.signal.aborted) return;
      chart.further = readDots(buffer);
      chart.region = { ...region, complete: new Uint32Array(buffer, 4, 1)[0] === 0 };
    } catch {
      return; // the next movement asks again
    }
    chart.traces = null;
    this.drawSoon(chart);
    this.askSoon();
  }

  // A click on a further dot, which the chart does not know: press and release in one place, nearest to such a dot.
  pressDot(chart, down) {
    if (!chart.further.length || down.button || !down.target.closest?.(".nsewdrag")) return; // legend, buttons
    const released = up => {
      removeEventListener("pointerup", released, true);
      removeEventListener("pointercancel", released, true);
      const moved = Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY);
      if (up.type !== "pointerup" || !chart.plot || moved > STILL) return;
      const area = chart.area(), at = { left: up.clientX - area.left, top: up.clientY - area.top };
      const [dot] = nearest(chart.inView(), at, 1);
      if (dot?.trace === undefined || Math.hypot(dot.left - at.left, dot.top - at.top) > REACH) return;
      chart.clickedFurther = Date.now();
      this.show({ chart, row: dot.row });
      setTimeout(() => this.trigger("clicked", { chart: chart.key, row: dot.row }), AFTER_CHART);
    };
    addEventListener("pointerup", released, true);
    addEventListener("pointercancel", released, true);
  }

  // ---- the current dot

  show(current) {
    this.current = current;
    const image = current && this.images.get(current.row);
    this.card.hidden = !current;
    this.picture.hidden = !image?.src;
    if (image?.src) this.picture.src = image.src;
    this.picture.alt = image ? `${image.name}, ${image.lines.join(", ")}` : "";
    this.card.dataset.row = image ? current.row : "";
    this.card.querySelector("strong").textContent = image?.name ?? (current ? "…" : "");
    this.card.querySelector("ul").replaceChildren(...(image?.lines ?? []).map(line => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
    this.placeCard();
    this.charts.forEach(chart => chart.plot && this.drawSoon(chart));
    if (current && !image) this.ask();
    this.askSoon();
  }

  // The pointer moved: show the dot that it means. Without one, an image beside the map stays, one over the map goes.
  point(chart, event) {
    if (event.buttons) return; // the map is dragged, or a box or lasso is drawn
    const area = chart.area(), at = { left: event.clientX - area.left, top: event.clientY - area.top };
    const [dot] = nearest(chart.inView(), at, 1);
    if (!dot || Math.hypot(dot.left - at.left, dot.top - at.top) > REACH) this.leave();
    else if (this.current?.row !== dot.row || this.current.chart !== chart) {
      this.card.setAttribute("aria-live", "off");
      this.show({ chart, row: dot.row });
    }
  }

  leave() {
    if (this.current && this.panel.classList.contains("floating")) this.show(null);
  }

  // Beside the map where the panel stands there and is in sight, else over the chart's corner away from the dot.
  placeCard() {
    const chart = this.current?.chart ?? this.charts.find(one => one.plot);
    if (!chart?.plot) return;
    const area = chart.area(), own = this.panel.getBoundingClientRect();
    const beside = own.left >= area.right && own.top < innerHeight - 100 && own.top > -60;
    this.panel.classList.toggle("floating", !beside);
    this.hint.hidden = beside && this.current !== null; // the image stands in its place
    if (beside || !this.current) {
      this.card.style.left = this.card.style.top = "";
      return;
    }
    const dot = chart.inView().find(one => one.row === this.current.row);
    const right = dot ? dot.left < area.centre.left : true;
    this.card.style.left = `${right ? area.right - this.card.offsetWidth - 4 : area.left + 4}px`;
    this.card.style.top = `${Math.max(area.top, 60)}px`;
  }

  press(event) {
    const chart = this.current?.chart ?? this.charts.find(one => one.plot);
    if (!chart?.plot || event.target === this.box || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in ARROWS) {
      event.preventDefault();
      const seen = chart.inView(), from = seen.find(dot => dot.row === this.current?.row);
      const dot = from ? step(seen, from, ARROWS[event.key]) : nearest(seen, chart.area().centre, 1)[0];
      this.card.setAttribute("aria-live", "polite"); // read aloud, unlike what the pointer passes
      if (dot) this.show({ chart, row: dot.row });
    } else if (event.key === "Enter" && this.current) {
      event.preventDefault();
      this.trigger("chosen", this.current.row);
    } else if (event.key === "Escape") this.show(null);
  }

  // ---- images

  // Ask for the current dot's image if it is missing, else for those in place of dots; with `ahead` for some around the
  // current dot or the centre of the view. One request at a time.
  ask(ahead = false) {
    const chart = this.current?.chart ?? this.charts.find(one => one.plot);
    if (this.asking || this.failed || !chart?.plot) return;
    const absent = rows => [...new Set(rows)].filter(row => !this.images.has(row));
    const urgent = this.current !== null && !this.images.has(this.current.row);
    let rows = urgent ? [this.current.row] : absent(this.layerRows()).slice(0, ASKED);
    if (urgent || (ahead && !rows.length)) rows = absent([...rows, ...this.around(chart)]);
    if (urgent) rows = rows.slice(0, URGENT);
    if (rows.length) this.request(rows);
  }

  async request(rows) {
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const answer = await fetch(`${this.address}?rows=${rows}`, { signal });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const images = await answer.json();
      for (const image of images) this.keep(image);
      this.failed = images.length ? 0 : Date.now();
    } catch {
      this.failed = Date.now();
    }
    this.asking = null;
    if (signal.aborted) return;
    if (this.images.has(this.current?.row)) this.show(this.current);
    this.charts.forEach(chart => chart.plot && this.drawSoon(chart));
    this.ask();
    this.askSoon();
  }

  askSoon() {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.ask(true), REST);
  }

  around(chart) {
    const seen = chart.inView(), from = seen.find(dot => dot.row === this.current?.row) ?? chart.area().centre;
    return nearest(seen, from, AROUND).map(dot => dot.row);
  }

  // Rows whose images are in place of dots.
  layerRows() {
    return this.charts.flatMap(chart => (chart.plot && chart.layer ? [...chart.layer] : []));
  }
}

function drawImage(pen, bitmap, dot, side) {
  if (!bitmap?.complete || !bitmap.naturalWidth) return;
  pen.globalAlpha = dot.pale ? 0.35 : 1;
  pen.fillStyle = dot.colour;
  pen.fillRect(dot.left - side / 2 - 2, dot.top - side / 2 - 2, side + 4, side + 4);
  pen.drawImage(bitmap, dot.left - side / 2, dot.top - side / 2, side, side);
  pen.globalAlpha = 1;
}

function drawRing(pen, dot, reach) {
  for (const [colour, width] of [["#FFFFFF", 4], ["#111111", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(dot.left, dot.top, reach, 0, 2 * Math.PI);
    pen.stroke();
  }
}
