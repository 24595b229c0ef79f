// The state of the page is its address: benchmark, points, filters and the item. Everything is drawn from it.
const PAGE = 100;
const LIST_KEYS = ["group", "verdict", "differ", "sort", "q"];
const form = document.getElementById("filters");
const fields = form.elements;
const list = document.getElementById("list");
const state = { task: 0, points: [], item: null, group: "", verdict: "", differ: "", sort: "", q: "" };
const view = { index: null, items: [], page: 0, run: 0, drawn: "", left: null };
const narrow = window.matchMedia("(max-width: 60rem)");

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function addressOf(changes = {}) {
  const one = { ...state, ...changes };
  const values = new URLSearchParams({ task: CONFIG.tasks[one.task].name });
  for (const point of one.points) values.append("point", CONFIG.points[point].name);
  for (const key of LIST_KEYS) if (one[key]) values.set(key, one[key]);
  if (one.item !== null) values.set("item", one.item);
  return `#${values}`;
}

function readAddress() {
  const values = new URLSearchParams(location.hash.slice(1));
  const task = CONFIG.tasks.findIndex((one) => one.name === values.get("task"));
  state.task = Math.max(0, task);
  const numberOf = (name) => CONFIG.points.findIndex((one) => one.name === name);
  const named = [...new Set(values.getAll("point").map(numberOf))].filter((point) => point >= 0).slice(0, 4);
  const usual = [...CONFIG.default.map(numberOf), ...CONFIG.points.keys()].filter((point) => point >= 0);
  for (const point of new Set(usual)) {
    if (named.length >= Math.min(2, CONFIG.points.length)) break;
    if (!named.includes(point)) named.push(point);
  }
  state.points = named;
  for (const key of LIST_KEYS) state[key] = values.get(key) || "";
  state.item = values.get("item");
}

// Change the address: a new item can be left by the browser's way back, a new filter replaces the old one.
function go(changes, replace = false) {
  const address = addressOf(changes);
  if (address === location.hash) return;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  draw();
}

function fill(select, options, value) {
  select.replaceChildren(...options);
  select.value = value;
}

function drawForm() {
  const task = CONFIG.tasks[state.task];
  fill(fields.task, CONFIG.tasks.map((one, number) => new Option(`${one.label} (${one.items})`, number)), state.task);
  for (let place = 0; place < 4; place++) {
    const select = fields[`p${place}`];
    const options = CONFIG.points.map((one, number) => new Option(one.label, number));
    for (const option of options) option.disabled = state.points.some((point, other) => other !== place && point === Number(option.value));
    const optional = place > 1 ? [new Option("none", "")] : [];
    fill(select, [...optional, ...options], state.points[place] ?? "");
    select.disabled = place > state.points.length || (place > 0 && CONFIG.points.length <= place);
  }
  const groups = view.index.groups.map((group) => element("optgroup", { label: group.kind || "group" },
    ...[...group.names].sort().map((name) => new Option(name, `${group.kind}=${name}`))));
  fill(fields.group, [new Option("all", ""), ...groups], state.group);
  for (const key of ["verdict", "differ", "sort"]) fields[key].value = state[key];
  for (const key of ["verdict", "differ"]) fields[key].disabled = state.points.length < 2;
  if (document.activeElement !== fields.q) fields.q.value = state.q;
  const notes = [];
  if (task.samples === "missing") notes.push("Images and reference answers are not shown: the files of this benchmark were not there, or had changed, when the page was made.");
  if (task.samples === "unknown") notes.push("Images and reference answers are not shown: the answers do not name the samples that they belong to.");
  if (task.images_left_out) notes.push(`${task.images_left_out} images are left out: they are missing or unreadable, or exceed the limit of the page.`);
  document.getElementById("notes").textContent = notes.join(" ");
}

function drawStatus(text) {
  document.getElementById("status").textContent = text;
}

function counts(task) {
  const total = { better: 0, equal: 0, worse: 0, none: 0 };
  for (const item of view.items) total[verdictOf(gainOf(view.index, task, state.points, item))]++;
  const items = `${view.items.length} of ${view.index.ids.length} items`;
  if (state.points.length < 2) return items;
  const missing = total.none ? `, ${total.none} without both scores` : "";
  return `${items}; point 2 has the better score on ${total.better}, an equal one on ${total.equal}, the worse one on ${total.worse}${missing}`;
}

function number(value) {
  return value == null ? "–" : String(Math.round(value * 1000) / 1000).replace("-", "−");
}

function signed(value) {
  return value == null ? "" : ` (${value > 0 ? "+" : ""}${number(value)})`;
}

function drawList() {
  const task = CONFIG.tasks[state.task];
  const start = view.page * PAGE;
  const shown = view.items.slice(start, start + PAGE);
  const focused = list.contains(document.activeElement);
  list.start = start + 1;
  list.replaceChildren(...shown.map((item) => {
    const id = view.index.ids[item];
    const link = element("a", { href: addressOf({ item: id }) },
      element("span", { className: "id", textContent: id }),
      scoresOf(task, item),
      element("span", { className: "text", textContent: view.index.text[item] }));
    link.dataset.item = id;
    if (id === state.item) link.setAttribute("aria-current", "true");
    return element("li", {}, link);
  }));
  if (focused) list.querySelector("[aria-current]")?.focus({ preventScroll: true });
  const end = start + shown.length;
  document.getElementById("pager").hidden = view.items.length <= PAGE;
  document.getElementById("shown").textContent = `${start + 1}–${end} of ${view.items.length}`;
  document.getElementById("before").disabled = view.page === 0;
  document.getElementById("after").disabled = end >= view.items.length;
}

// Scroll the list, and not the page, to the item; in a narrow window, the page to the item that was left.
function showInList() {
  const link = list.querySelector("[aria-current]");
  if (link) {
    const [frame, box] = [list.getBoundingClientRect(), link.getBoundingClientRect()];
    if (box.top < frame.top) list.scrollTop -= frame.top - box.top;
    if (box.bottom > frame.bottom) list.scrollTop += box.bottom - frame.bottom;
  } else if (view.left !== null) {
    [...list.querySelectorAll("a")].find((one) => one.dataset.item === view.left)?.scrollIntoView({ block: "center" });
  }
  if (state.item !== null && state.item !== view.left && narrow.matches) scrollTo(0, 0);
  view.left = state.item;
}

function scoresOf(task, item) {
  const scores = state.points.map((point) => number(scoreOf(view.index, point, item))).join(" · ");
  const gain = gainOf(view.index, task, state.points, item);
  const verdict = verdictOf(gain);
  const words = { better: "better", worse: "worse", equal: "", none: "" }[verdict];
  return element("span", { className: "scores" }, scores,
    words ? element("span", { className: verdict, textContent: `${signed(task.sign * gain)} ${words}` }) : "");
}

function turnTo(page) {
  view.page = page;
  drawList();
  list.scrollTop = 0;
  list.querySelector("a")?.focus();
}

// Draw all from the address. A later call overtakes an earlier one that still waits for files.
async function draw() {
  const run = ++view.run;
  const isOld = () => run !== view.run;
  readAddress();
  const task = CONFIG.tasks[state.task];
  try {
    const index = await load(`${task.key}-index`);
    if (isOld()) return;
    view.index = index;
    drawForm();
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const filters = addressOf({ item: null });
    if (filters !== view.drawn) {
      const report = (done, all) => { drawStatus(`Searching: ${done} of ${all} files`); return isOld(); };
      const found = words.length ? await search(task, index, state.points, words, report) : null;
      if (isOld()) return;
      view.items = chosenItems(index, task, state, found);
      view.drawn = filters;
      view.page = 0;
    }
    drawStatus(counts(task));
    const position = view.items.findIndex((item) => index.ids[item] === state.item);
    if (position >= 0) view.page = Math.floor(position / PAGE);
    drawList();
    await drawItem(task, isOld);
    if (!isOld()) showInList();
  } catch (error) {
    if (!isOld()) drawStatus(error.message);
  }
}
