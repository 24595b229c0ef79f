// Data files are scripts beside the page, because pages opened from the disk may not fetch. Each calls receive().
const CONFIG = JSON.parse(document.getElementById("config").textContent);
const received = new Map();
const loading = new Map();

function receive(file, data) {
  received.set(file, data);
}

function load(file) {
  if (!loading.has(file)) {
    loading.set(file, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const done = () => {
        script.remove();
        if (received.has(file)) resolve(received.get(file));
        else {
          loading.delete(file);
          reject(new Error(`The file data/${file}.js is missing or damaged. Write the page again: python -m mmdpo report ${CONFIG.study}`));
        }
      };
      script.onload = done;
      script.onerror = done;
      script.src = `data/${encodeURIComponent(file)}.js`;
      document.head.append(script);
    }));
  }
  return loading.get(file);
}

function scoreOf(index, point, item) {
  const column = index.scores[point];
  return column && column.length ? column[item] : null;
}

function gainOf(index, task, points, item) {
  const [first, second] = points.map((point) => scoreOf(index, point, item));
  return first == null || second == null ? null : task.sign * (second - first);
}

function verdictOf(gain) {
  if (gain == null) return "none";
  return gain > 0 ? "better" : gain < 0 ? "worse" : "equal";
}

function spreadOf(index, points, item) {
  const scores = points.map((point) => scoreOf(index, point, item)).filter((score) => score != null);
  return scores.length < 2 ? null : Math.max(...scores) - Math.min(...scores);
}

function differs(index, points, item, kind) {
  if (kind === "scores") return spreadOf(index, points, item) > 0;
  const answers = points.map((point) => index.answers[point].length ? index.answers[point][item] : null)
    .filter((answer) => answer != null);
  const same = answers.length > 1 && answers.every((answer) => answer === answers[0]);
  return kind === "same" ? same : answers.length > 1 && !same;
}

// Return the positions of the items that pass the filters, sorted; items without a number to sort by come last.
function chosenItems(index, task, state, found) {
  const points = state.points;
  const [, kind, name] = /^([^=]*)=(.*)$/s.exec(state.group) || [];
  const group = kind === undefined ? null : index.groups.find((one) => one.kind === kind);
  const wanted = group ? group.names.indexOf(name) : -1;
  const items = [];
  for (let item = 0; item < index.ids.length; item++) {
    if (group && !group.of[item].includes(wanted)) continue;
    if (found && !found.has(item)) continue;
    if (state.verdict && verdictOf(gainOf(index, task, points, item)) !== state.verdict) continue;
    if (state.differ && !differs(index, points, item, state.differ)) continue;
    items.push(item);
  }
  const by = {
    gain: (item) => negated(gainOf(index, task, points, item)),
    loss: (item) => gainOf(index, task, points, item),
    spread: (item) => negated(spreadOf(index, points, item)),
    first: (item) => scoreOf(index, points[0], item),
    second: (item) => scoreOf(index, points[1], item),
  }[state.sort];
  if (by) {
    const keys = new Map(items.map((item) => [item, by(item)]));
    const rank = (item) => keys.get(item) ?? Infinity;
    items.sort((a, b) => (rank(a) === rank(b) ? a - b : rank(a) - rank(b)));
  } else if (state.sort === "id") {
    const order = new Intl.Collator("en", { numeric: true });
    items.sort((a, b) => order.compare(index.ids[a], index.ids[b]) || a - b);
  }
  return items;
}

function negated(value) {
  return value == null ? null : -value;
}

// The files with the texts of a piece: what was asked, then the answers of the points.
function filesOf(task, index, points, piece) {
  const answered = points.filter((point) => index.answers[point].length > piece * task.piece && hasPiece(index, point, piece, task));
  return [`${task.key}-${piece}`, ...answered.map((point) => `${task.key}-${piece}-p${point}`)];
}

function hasPiece(index, point, piece, task) {
  const end = Math.min(index.ids.length, (piece + 1) * task.piece);
  for (let item = piece * task.piece; item < end; item++) if (index.answers[point][item] != null) return true;
  return false;
}

const lowered = new Map();

function loweredTexts(file) {
  if (!lowered.has(file)) {
    lowered.set(file, received.get(file).map((entry) => (entry ? textsOf(entry).join("\n").toLowerCase() : "")));
  }
  return lowered.get(file);
}

function textsOf(value) {
  if (typeof value === "string") return [value];
  if (!value || typeof value !== "object") return [];
  return Object.entries(value).filter(([key]) => key !== "images" && key !== "finish").flatMap(([, one]) => textsOf(one));
}

// Search ids, groups, questions, references, answers and judges' texts; progress(done, all) may stop it by true.
async function search(task, index, points, words, progress) {
  const found = new Set();
  const pieces = Math.ceil(index.ids.length / task.piece);
  for (let piece = 0; piece < pieces; piece++) {
    if (progress(piece, pieces)) return null;
    const files = filesOf(task, index, points, piece);
    await Promise.all(files.map(load));
    const texts = files.map(loweredTexts);
    const end = Math.min(index.ids.length, (piece + 1) * task.piece);
    for (let item = piece * task.piece; item < end; item++) {
      const place = item - piece * task.piece;
      const groups = index.groups.flatMap((group) => group.of[item].map((name) => group.names[name]));
      const about = [index.ids[item], ...groups].join("\n").toLowerCase();
      const contains = (word) => about.includes(word) || texts.some((text) => (text[place] || "").includes(word));
      if (words.every(contains)) found.add(item);
    }
  }
  return found;
}
