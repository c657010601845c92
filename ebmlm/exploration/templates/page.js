// Links every mark with its text, both ways, and the list with what is shown.
const links = findAll("nav a");
const articles = findAll("article");
const tip = find("#tip");

const rowOf = (anchor, sample) => find(`tr[data-sample="${sample}"]`, articles[anchor]);

function light(anchor, samples) {
  for (const lit of findAll(".lit")) lit.classList.remove("lit");
  for (const sample of samples) {
    rowOf(anchor, sample)?.classList.add("lit");
    const marks = `.point[data-anchor="${anchor}"][data-sample="${sample}"]`;
    for (const each of findAll(marks)) each.classList.add("lit");
  }
}
const rest = () => light(now.anchor, now.held === null ? [] : [now.held]);

function hold(sample) {
  now.held = sample;
  for (const row of findAll("tr.held")) row.classList.remove("held");
  if (sample !== null) rowOf(now.anchor, sample)?.classList.add("held");
  rest();
}

function say(event, anchor, sample) {
  const row = rowOf(anchor, sample), text = document.createElement("p");
  text.className = "text";
  text.textContent = find(".text", row).textContent;
  const about = document.createElement("p");
  const name = sample === REAL ? "the real text" : `rollout ${sample + 1}`;
  const value = sample === REAL ? "" : `, ${now.colour} ${told(data.anchors[anchor][now.colour][sample])}`;
  about.textContent = `anchor ${anchor + 1}, ${name}${value}`;
  tip.replaceChildren(about, text);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 6))}px`;
  const below = event.clientY + 16;
  tip.style.top = `${below + box.height < innerHeight ? below : event.clientY - box.height - 10}px`;
}

function draw() {
  drawOwn();
  drawShared();
  drawMatrix();
  drawSpectrum();
  rest();
}

function select(number) {
  now.anchor = number;
  now.held = null;
  links.forEach((link, i) => {
    if (i === number) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    articles[i].classList.toggle("current", i === number);
  });
  const list = find("nav ol"), item = links[number];
  const above = item.offsetTop - list.offsetTop;
  if (above < list.scrollTop || above + item.offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTop = above - list.clientHeight / 3;
  }
  draw();
}

function fromAddress() {
  const found = /^#anchor-(\d+)$/.exec(location.hash);
  return found && Number(found[1]) <= links.length && Number(found[1]) >= 1 ? found[1] - 1 : 0;
}

function go(number) {
  history.replaceState(null, "", `#anchor-${number + 1}`);
  select(number);
}

links.forEach((link, number) => link.addEventListener("click", (event) => {
  event.preventDefault();
  go(number);
}));
find("nav").addEventListener("keydown", (event) => {
  const last = links.length - 1;
  const next = { ArrowDown: Math.min(now.anchor + 1, last), ArrowUp: Math.max(now.anchor - 1, 0),
    Home: 0, End: last }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  go(next);
  links[next].focus();
});

articles.forEach((article, anchor) => findAll("tbody tr", article).forEach((row) => {
  const sample = Number(row.dataset.sample);
  const toggle = () => hold(now.held === sample ? null : sample);
  row.addEventListener("mouseenter", () => light(anchor, [sample]));
  row.addEventListener("mouseleave", rest);
  row.addEventListener("focus", () => light(anchor, [sample]));
  row.addEventListener("blur", rest);
  row.addEventListener("click", toggle);
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    toggle();
  });
}));

const marked = (event) => event.target.closest("figure [data-sample]");
for (const drawings of findAll(".drawings")) {
  drawings.addEventListener("mousemove", (event) => {
    const found = marked(event);
    tip.hidden = true;
    if (!found) return rest();
    const anchor = Number(found.dataset.anchor), sample = Number(found.dataset.sample);
    const other = found.dataset.other;
    if (other !== undefined) return light(anchor, [sample, Number(other)]);
    light(anchor, [sample]);
    say(event, anchor, sample);
  });
  drawings.addEventListener("mouseleave", () => {
    tip.hidden = true;
    rest();
  });
}
addEventListener("click", (event) => {
  const found = marked(event);
  if (!found || found.dataset.other !== undefined) return;
  const anchor = Number(found.dataset.anchor);
  if (anchor !== now.anchor) go(anchor);
  hold(Number(found.dataset.sample));
  // Where the text stands above the plane, going there would lose the plane.
  if (matchMedia("(min-width: 1101px)").matches) {
    rowOf(anchor, now.held)?.scrollIntoView({ block: "nearest" });
  }
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") hold(null);
});
addEventListener("hashchange", () => select(fromAddress()));
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
let drawnAt = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(drawnAt);
  drawnAt = requestAnimationFrame(draw);
});

for (const name of ["colour", "matrix"]) {
  const choice = find(`#${name}`);
  choice.value = now[name];
  choice.addEventListener("change", () => {
    now[name] = choice.value;
    draw();
  });
}
if (!data.anchors.some((anchor) => anchor.pairs)) find("#matrix option[value=pairs]").remove();
document.documentElement.classList.add("drawn");
for (const drawings of findAll(".drawings")) drawings.hidden = false;
select(fromAddress());
