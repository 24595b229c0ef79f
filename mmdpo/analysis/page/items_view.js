// One item: question, images, reference answer, and the answers and judgments of the points side by side.
const itemArea = document.getElementById("item");

async function drawItem(task, isOld) {
  const position = state.item === null ? -1 : view.index.ids.indexOf(state.item);
  document.body.classList.toggle("one-item", state.item !== null);
  if (position < 0) {
    itemArea.replaceChildren(...(state.item === null ? [] : [backLink(), element("p", { textContent: `There is no item ${state.item} in ${task.label}.` })]));
    if (state.item === null && !narrow.matches && view.items.length) go({ item: view.index.ids[view.items[0]] }, true);
    return;
  }
  const piece = Math.floor(position / task.piece);
  const files = filesOf(task, view.index, state.points, piece);
  await Promise.all(files.map(load));
  if (isOld()) return;
  const asked = received.get(files[0])[position - piece * task.piece];
  const answers = state.points.map((point) => (received.get(`${task.key}-${piece}-p${point}`) || [])[position - piece * task.piece]);
  const groups = view.index.groups.flatMap((group) => group.of[position].map((name) => (group.kind ? `${group.kind}: ` : "") + group.names[name]));
  itemArea.replaceChildren(
    steps(),
    element("h2", {}, element("a", { href: addressOf(), textContent: state.item, title: "Link to this item" })),
    element("p", { className: "note", textContent: groups.join(" · ") }),
    ...questionOf(asked),
    element("div", { id: "points" }, ...answers.map((answer, place) => pointCard(task, place, answer, asked, position))),
  );
}

function backLink() {
  return element("button", { id: "back", type: "button", textContent: "← All items", onclick: () => go({ item: null }) });
}

function steps() {
  const button = (by, text) => element("button", { type: "button", textContent: text, disabled: neighbour(by) === null, onclick: () => step(by) });
  return element("div", { className: "steps" }, backLink(), button(-1, "Previous item"), button(1, "Next item"));
}

function textBlock(text, className = "") {
  return element("p", { className: `text-block ${className}`, textContent: text });
}

function questionOf(asked) {
  const turns = asked.turns && asked.turns.length ? asked.turns : [asked.question];
  const parts = [];
  for (const [question, answer] of asked.history || []) parts.push(turnOf("Earlier turn", question, answer));
  turns.forEach((turn, place) => {
    parts.push(element("h3", { textContent: turns.length > 1 ? `Question, turn ${place + 1}` : "Question" }), textBlock(turn, "question"));
  });
  const images = (asked.images || []).map((name, place) => element("button", { type: "button", className: "enlarge" },
    element("img", { src: `images/${name}`, alt: `Image ${place + 1} of item ${state.item}`, loading: "lazy" })));
  if (images.length) parts.push(element("div", { className: "images" }, ...images));
  if (asked.images_left_out) parts.push(element("p", { className: "note", textContent: `Images left out: ${asked.images_left_out}` }));
  if (asked.reference) parts.push(element("h3", { textContent: "Reference answer" }), textBlock(asked.reference));
  return parts;
}

function turnOf(title, question, answer) {
  return element("div", { className: "turn" }, element("span", { className: "note", textContent: title }),
    textBlock(question, "question"), textBlock(answer));
}

function pointCard(task, place, answer, asked, position) {
  const card = element("section", { className: "point" },
    element("h3", { textContent: `${place + 1}. ${CONFIG.points[state.points[place]].label}` }));
  card.setAttribute("aria-label", `Point ${place + 1}`);
  if (!answer) {
    card.append(element("p", { className: "note", textContent: "This point has no answer to this item." }));
    return card;
  }
  card.append(scoreLine(task, place, answer, position));
  for (const [question, reply] of answer.history || []) card.append(turnOf("Earlier turn", question, reply));
  if (answer.history && asked.turns && asked.turns.length > 1) card.append(textBlock(asked.turns[asked.turns.length - 1], "question"));
  card.append(answer.answer ? textBlock(answer.answer, "answer") : element("p", { className: "note", textContent: "The answer is empty." }));
  if (answer.finish === "length") card.append(element("p", { className: "note", textContent: "The answer was cut at the limit of tokens." }));
  if (answer.finish === "declined") card.append(element("p", { className: "note", textContent: "The server declined to answer." }));
  const parts = Object.entries({ ...answer.parts, ...(answer.words == null ? {} : { words: answer.words }) });
  if (parts.length) {
    card.append(element("dl", {}, ...parts.flatMap(([name, value]) => [
      element("dt", { textContent: name.replaceAll("_", " ") }), element("dd", { textContent: number(value) })])));
  }
  (answer.replies || []).forEach((reply, one, all) => {
    const title = all.length > 1 ? `Judge's text ${one + 1}` : "Judge's text";
    card.append(element("details", { open: true }, element("summary", { textContent: title }), textBlock(reply)));
  });
  return card;
}

function scoreLine(task, place, answer, position) {
  const line = element("p", { className: "score" });
  if (answer.score == null) {
    const reason = answer.reason ? `: ${answer.reason}` : "";
    line.textContent = answer.judged ? `unscored${reason}` : "not judged";
    return line;
  }
  line.append(`Score ${number(answer.score)}`);
  if (place > 0) {
    const gain = gainOf(view.index, task, [state.points[0], state.points[place]], position);
    const words = { better: "better than point 1", worse: "worse than point 1", equal: "equal to point 1", none: "" }[verdictOf(gain)];
    const difference = gain ? signed(task.sign * gain) : "";
    line.append(element("span", { className: verdictOf(gain), textContent: `${difference} ${words}` }));
  }
  return line;
}

// Return the id of the next or the previous item of the list; null at its end.
function neighbour(by) {
  const position = view.items.findIndex((item) => view.index.ids[item] === state.item);
  const next = position < 0 ? (by > 0 ? 0 : view.items.length - 1) : position + by;
  return view.items[next] === undefined ? null : view.index.ids[view.items[next]];
}

function step(by) {
  const item = neighbour(by);
  if (item !== null) go({ item });
}

function formChanged(event) {
  const name = event.target.name;
  if (name === "task") {
    go({ task: Number(fields.task.value), item: null, group: "", q: state.q }, true);
  } else if (/^p\d$/.test(name)) {
    const chosen = [0, 1, 2, 3].map((place) => fields[`p${place}`].value).filter((value) => value !== "").map(Number);
    go({ points: [...new Set(chosen)] }, true);
  } else if (LIST_KEYS.includes(name) && name !== "q") {
    go({ [name]: fields[name].value, item: null }, true);
  }
}

function keyPressed(event) {
  const typing = event.target.matches("input, select, textarea");
  if (document.getElementById("enlarged").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (narrow.matches && state.item !== null) go({ item: null });
    return;
  }
  if (typing) return;
  const inList = list.contains(event.target);
  if (event.key === "j" || (event.key === "ArrowDown" && inList)) step(1);
  else if (event.key === "k" || (event.key === "ArrowUp" && inList)) step(-1);
  else if (event.key === "/") fields.q.focus();
  else return;
  event.preventDefault();
}

let typed = 0;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", formChanged);
fields.q.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => go({ q: fields.q.value.trim(), item: null }, true), 200);
});
document.getElementById("reset").addEventListener("click", () => {
  fields.q.value = "";
  go({ group: "", verdict: "", differ: "", sort: "", q: "", item: null }, true);
});
list.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ item: new URLSearchParams(link.hash.slice(1)).get("item") });
  itemArea.focus({ preventScroll: true });
});
document.getElementById("before").addEventListener("click", () => turnTo(view.page - 1));
document.getElementById("after").addEventListener("click", () => turnTo(view.page + 1));
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); list.focus(); });
document.addEventListener("keydown", keyPressed);
window.addEventListener("popstate", draw);
draw();
