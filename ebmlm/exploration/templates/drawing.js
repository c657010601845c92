"use strict";
// Draws the planes, the matrix and the spectrum from the numbers in the page.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (query, inside = document) => inside.querySelector(query);
const findAll = (query, inside = document) => [...inside.querySelectorAll(query)];
const REAL = -1;
const now = { anchor: 0, colour: "reward", matrix: "cosines", held: null };

function node(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// As wide as its place, so that letters keep their size.
const widthOf = (box) => Math.max(280, Math.min(720, find(box).clientWidth));

function canvas(box, width, height, label) {
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  find(box).replaceChildren(svg);
  return svg;
}

function told(value) {
  if (value === null) return "not finite";
  const plain = Math.abs(value) >= 5e-4 || value === 0;
  return (plain ? value.toFixed(3) : value.toExponential(0)).replace("-", "\u2212");
}
const percent = (share, digits = share < 0.0995 ? 1 : 0) => `${(100 * share).toFixed(digits)} %`;

// From low to high: light enough for the dark page and dark enough for the light one.
const STOPS = [[82, 74, 190], [200, 72, 140], [248, 188, 74]];
function mixed(share) {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[low].map((part, i) => Math.round(part + (place - low) * (STOPS[low + 1][i] - part)));
}
const css = (colour) => `rgb(${colour.join(" ")})`;
const bright = ([red, green, blue]) => 0.3 * red + 0.59 * green + 0.11 * blue > 120;

function range(values) {
  const finite = values.filter((value) => value !== null);
  return finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 0];
}
function colourOf(value, [low, high]) {
  if (value === null || value === undefined) return [128, 128, 128];
  return mixed(high > low ? (value - low) / (high - low) : 0.5);
}

function legend(svg, x, y, [low, high], name) {
  const steps = 40, width = 90;
  for (let i = 0; i < steps; i++) {
    const fill = css(mixed(i / (steps - 1)));
    node("rect", { x: x + i * width / steps, y, width: width / steps + 0.5, height: 7, fill }, svg);
  }
  node("text", { x: x - 5, y: y + 7, "text-anchor": "end" }, svg, `${name} ${told(low)}`);
  node("text", { x: x + width + 5, y: y + 7 }, svg, told(high));
}

function niceStep(span) {
  const rough = span / 5, power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

// Both axes have one scale, so that distances in the plane are distances.
function plane(box, points, shares, label) {
  const width = widthOf(box), height = Math.min(330, Math.round(0.72 * width));
  const left = 52, right = 12, top = 26, bottom = 38;
  const svg = canvas(box, width, height, label);
  const inner = [width - left - right, height - top - bottom];
  const ends = [0, 1].map((axis) => range(points.map((point) => point.at[axis])));
  const unit = 1.16 * Math.max(...ends.map(([low, high], axis) => (high - low) / inner[axis])) || 1;
  const middle = ends.map(([low, high]) => (low + high) / 2);
  const x = (value) => left + inner[0] / 2 + (value - middle[0]) / unit;
  const y = (value) => top + inner[1] / 2 - (value - middle[1]) / unit;
  const step = niceStep(unit * inner[1]);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const tick = (i) => (i * step).toFixed(digits).replace("-", "\u2212");
  const ticks = (axis) => {
    const half = unit * inner[axis] / 2, found = [];
    for (let i = Math.ceil((middle[axis] - half) / step); i * step <= middle[axis] + half; i++) {
      found.push(i);
    }
    return found;
  };
  for (const i of ticks(0)) {
    const at = x(i * step), kind = i === 0 ? "zero" : "rule";
    node("line", { x1: at, x2: at, y1: top, y2: height - bottom, class: kind }, svg);
    node("text", { x: at, y: height - bottom + 14, "text-anchor": "middle" }, svg,
      tick(i));
  }
  for (const i of ticks(1)) {
    const at = y(i * step), kind = i === 0 ? "zero" : "rule";
    node("line", { x1: left, x2: width - right, y1: at, y2: at, class: kind }, svg);
    node("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, svg, tick(i));
  }
  const axisName = (i) => `component ${i + 1}, ${percent(shares[i] ?? 0)} of the variance`;
  node("text", { x: (left + width - right) / 2, y: height - 7, "text-anchor": "middle" }, svg,
    axisName(0));
  node("text", { x: 0, y: 0, "text-anchor": "middle",
    transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)` }, svg, axisName(1));
  return { svg, x, y, width };
}

function mark(frame, point, size, fill, far) {
  const [cx, cy] = [frame.x(point.at[0]), frame.y(point.at[1])];
  const shared = { "data-anchor": point.anchor, "data-sample": point.sample };
  const kind = far ? "point far" : "point";
  if (point.sample === REAL) {
    const r = size * 1.35;
    const d = `M${cx} ${cy - r}L${cx + r} ${cy}L${cx} ${cy + r}L${cx - r} ${cy}z`;
    node("path", { d, class: `${kind} diamond`, ...shared }, frame.svg);
  } else {
    node("circle", { cx, cy, r: size, fill: css(fill), class: kind, ...shared }, frame.svg);
  }
}

function pointsOf(number, own) {
  const anchor = data.anchors[number], real = own ? anchor.referenceOwn : anchor.reference;
  const points = (own ? anchor.own : anchor.shared)
    .map((at, sample) => ({ at, sample, anchor: number }));
  return real ? [{ at: real, sample: REAL, anchor: number }, ...points] : points;
}

function tie(frame, points) {
  const real = points.find((point) => point.sample === REAL);
  if (!real) return;
  for (const { at } of points) {
    node("line", { x1: frame.x(real.at[0]), y1: frame.y(real.at[1]), x2: frame.x(at[0]),
      y2: frame.y(at[1]), class: "tie" }, frame.svg);
  }
}

// Marks that lie on each other share one label.
function label(frame, points) {
  const groups = [];
  for (const { at, sample } of points.filter((point) => point.sample !== REAL)) {
    const [x, y] = [frame.x(at[0]), frame.y(at[1])];
    const near = groups.find((group) => Math.hypot(group.x - x, group.y - y) < 11);
    if (near) near.names.push(sample + 1);
    else groups.push({ x, y, names: [sample + 1] });
  }
  for (const { x, y, names } of groups) {
    const over = x > frame.width - 70;
    node("text", { x: over ? x - 11 : x + 11, y: y + 4, class: "label",
      "text-anchor": over ? "end" : "start" }, frame.svg, names.join(", "));
  }
}

function drawOwn() {
  const anchor = data.anchors[now.anchor], points = pointsOf(now.anchor, true);
  const values = anchor[now.colour], ends = range(values);
  const frame = plane("#own", points, anchor.ownShares,
    `Rollouts of anchor ${now.anchor + 1} in their own plane, coloured by ${now.colour}`);
  legend(frame.svg, frame.width - 150, 9, ends, now.colour);
  tie(frame, points);
  for (const point of points) mark(frame, point, 8, colourOf(values[point.sample], ends));
  label(frame, points);
}

function drawShared() {
  const ends = range(data.anchors.flatMap((anchor) => anchor[now.colour]));
  const order = data.anchors.map((_, i) => i).filter((i) => i !== now.anchor).concat(now.anchor);
  const every = order.flatMap((number) => pointsOf(number, false));
  const frame = plane("#shared", every, data.shares,
    `Rollouts of all anchors in one plane, coloured by ${now.colour}`);
  legend(frame.svg, frame.width - 150, 9, ends, now.colour);
  for (const number of order) {
    const points = pointsOf(number, false), far = number !== now.anchor;
    if (!far) tie(frame, points);
    for (const point of points) {
      const value = data.anchors[number][now.colour][point.sample];
      mark(frame, point, far ? 4 : 6, colourOf(value, ends), far);
    }
  }
}

function matrixOf(anchor) {
  if (now.matrix === "pairs") {
    const names = anchor.pairs.map((_, i) => i);
    return [names, anchor.pairs.map((row, i) => row.map((value, j) => i === j ? null : value))];
  }
  const first = anchor.referenceOwn ? REAL : 0;
  return [anchor.cosines.map((_, i) => i + first), anchor.cosines];
}

function drawMatrix() {
  const [names, values] = matrixOf(data.anchors[now.anchor]);
  const size = names.length, width = widthOf("#gram"), cell = Math.min(44, (width - 60) / size);
  const left = (width - cell * size) / 2, top = 44;
  const svg = canvas("#gram", width, top + cell * size + 10,
    `${find(`#matrix option[value=${now.matrix}]`).textContent}, anchor ${now.anchor + 1}`);
  const off = values.flatMap((row, i) => row.filter((value, j) => i !== j && value !== null));
  const ends = now.matrix === "cosines" ? [range(off)[0], 1] : range(off);
  legend(svg, width - 150, 7, ends, now.matrix === "cosines" ? "cosine" : "pair term");
  const title = (sample) => sample === REAL ? "text" : sample + 1;
  names.forEach((name, i) => {
    const middle = i * cell + cell / 2;
    node("text", { x: left + middle, y: top - 5, "text-anchor": "middle" }, svg, title(name));
    node("text", { x: left - 6, y: top + middle + 4, "text-anchor": "end" }, svg, title(name));
    values[i].forEach((value, j) => {
      if (value === null) return;
      const fill = colourOf(value, ends);
      const square = node("rect", { x: left + j * cell, y: top + i * cell, width: cell,
        height: cell, fill: css(fill), class: "cell", "data-anchor": now.anchor,
        "data-sample": name, "data-other": names[j] }, svg);
      node("title", {}, square, `${title(name)} and ${title(names[j])}: ${told(value)}`);
      if (cell >= 34) {
        node("text", { x: left + j * cell + cell / 2, y: top + middle + 4,
          class: `inside ${bright(fill) ? "dark" : "light"}` }, svg, value.toFixed(2));
      }
    });
  });
}

function drawSpectrum() {
  const width = widthOf("#spectrum"), height = 150, left = 40, bottom = 22, top = 12;
  const svg = canvas("#spectrum", width, height, "Share of variance by component");
  const high = Math.max(...data.shares, 1e-9), step = niceStep(high);
  const y = (share) => height - bottom - share / high * (height - top - bottom);
  for (let share = 0; share <= high + 1e-9; share += step) {
    node("line", { x1: left, x2: width - 8, y1: y(share), y2: y(share), class: "rule" }, svg);
    node("text", { x: left - 5, y: y(share) + 4, "text-anchor": "end" }, svg,
      percent(share, step < 0.0099 ? 1 : 0));
  }
  const wide = (width - left - 8) / data.shares.length, every = Math.ceil(20 / wide);
  data.shares.forEach((share, i) => {
    const bar = node("rect", { x: left + i * wide + 1.5, width: wide - 3, y: y(share),
      height: height - bottom - y(share), class: "bar" }, svg);
    node("title", {}, bar, `component ${i + 1}: ${percent(share)}`);
    if (i % every === 0) {
      node("text", { x: left + (i + 0.5) * wide, y: height - 7, "text-anchor": "middle" }, svg,
        i + 1);
    }
  });
}
