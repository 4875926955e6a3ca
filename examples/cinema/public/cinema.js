// The page of the cinema: holds and books seats over Centrifugo, shows what the others do, and what each message cost.

const CHANNEL = "screening:1";
const ROWS = { A: 6, B: 8, C: 8, D: 10, E: 10, F: 10, G: 10, H: 10 };
const SHOWN_PEOPLE = 10;
const SHOWN_MESSAGES = 60;

const $ = (id) => document.getElementById(id);
const bytes = new TextEncoder();

/** An element with properties, attributes (data-x, aria-x) and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

// ---- What messages cost -------------------------------------------------------------------------------------------------------------

/** Counts messages and their bytes as they pass the WebSocket. */
const wire = {
  costs: new Map(), // of commands without a reply, by their numbers
  paid: new Map(), // of RPCs by their requests, and of "connect"
  totals: { messages: 0, sent: 0, received: 0, ticks: 0, tickBytes: 0 },
  times: [],

  sent(text) {
    for (const line of text.split("\n").filter(Boolean)) {
      const { id, rpc, connect } = JSON.parse(line);
      const size = bytes.encode(line).length;
      this.totals.sent += size;
      this.totals.messages += 1;
      const name = connect ? "connect" : rpc?.data.request;
      if (name) this.costs.set(id, { name, sent: size, at: performance.now() });
    }
  },

  received(text) {
    for (const line of text.split("\n").filter(Boolean)) {
      const { id, push } = JSON.parse(line);
      const size = bytes.encode(line).length;
      this.totals.received += size;
      this.totals.messages += 1;
      if (push?.channel?.startsWith("countdown:")) {
        this.totals.ticks += 1;
        this.totals.tickBytes += size;
      } else if (push?.pub) {
        show({ text: described(push.pub.data), received: size });
      } else if (push?.join || push?.leave) {
        const { conn_info: info } = (push.join ?? push.leave).info;
        show({ text: `${info?.name ?? "somebody"} ${push.join ? "comes" : "leaves"}`, received: size });
      }
      const cost = this.costs.get(id);
      if (cost) this.paid.set(cost.name, { sent: cost.sent, received: size, milliseconds: performance.now() - cost.at });
      this.costs.delete(id);
    }
    figures();
  },

  /** What a command has cost, once. */
  take(name) {
    const cost = this.paid.get(name);
    this.paid.delete(name);
    return cost;
  },
};

/** A WebSocket that tells `wire` what passes. */
class Measured extends WebSocket {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", ({ data }) => wire.received(data));
  }

  send(data) {
    wire.sent(data);
    super.send(data);
  }
}

const size = (count) => (count < 1000 ? `${count} B` : `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)} KB`);
const time = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;

function described({ seat, state, name }) {
  return state === "free" ? `${seat} is free` : `${seat} ${state} by ${name}`;
}

/** Adds a line to the list of messages. */
function show({ text, milliseconds, sent, received, worker, isRefused }) {
  const row = element("tr", { className: isRefused ? "is-refused" : "" });
  const cost = sent === undefined ? `↓ ${received}` : `↑ ${sent} ↓ ${received}`;
  row.append(
    element("td", {}, text),
    element("td", { className: "number" }, milliseconds === undefined ? "" : milliseconds.toFixed(1)),
    element("td", { className: "number" }, cost),
    element("td", {}, worker === undefined ? "" : String(worker)),
  );
  $("wire").prepend(row);
  while ($("wire").childElementCount > SHOWN_MESSAGES) $("wire").lastElementChild.remove();
}

function figures() {
  const { totals, times } = wire;
  const sorted = [...times].sort((a, b) => a - b);
  $("figure-median").textContent = sorted.length ? time(sorted[sorted.length >> 1]) : "–";
  $("figure-slowest").textContent = sorted.length ? time(sorted.at(-1)) : "–";
  $("figure-messages").textContent = totals.messages;
  $("figure-sent").textContent = size(totals.sent);
  $("figure-received").textContent = size(totals.received);
  $("figure-ticks").textContent = `${totals.ticks} messages, ${size(totals.tickBytes)}`;
}

// ---- The plan -----------------------------------------------------------------------------------------------------------------------

const seats = new Map(); // by name: what the server said last
const buttons = new Map();
let me = null; // { user, name, token, ... }
let version = 0; // of the newest change that this page has seen
let searched = null; // the user whose seats are shown

/** Lays the rows out as arcs around the screen. */
function lay() {
  Object.entries(ROWS).forEach(([row, number], index) => {
    const radius = 17 + index * 1.06;
    const at = (steps) => {
      const angle = steps / radius;
      return { x: radius * Math.sin(angle), y: index * 1.06 + radius * (Math.cos(angle) - 1) + 1.2, angle };
    };
    const place = (made, { x, y, angle }) => {
      made.style.setProperty("--x", x.toFixed(3));
      made.style.setProperty("--y", y.toFixed(3));
      made.style.setProperty("--a", `${-angle}rad`);
      $("plan").append(made);
    };
    const half = number / 2;
    place(element("span", { className: "letter", "aria-hidden": "true" }, row), at(-half - 0.85));
    for (let seat = 1; seat <= number; seat += 1) {
      const button = element("button", { className: "seat is-free", type: "button", tabIndex: -1, "data-seat": row + seat }, element("span"));
      buttons.set(row + seat, button);
      // The aisle is in the middle.
      place(button, at(seat - half - 0.5 + (seat > half ? 0.25 : -0.25)));
    }
    place(element("span", { className: "letter", "aria-hidden": "true" }, row), at(half + 0.85));
  });
  buttons.get("E5").tabIndex = 0;
}

const hue = (user) => {
  let hash = 7;
  for (const letter of user) hash = (hash * 31 + letter.charCodeAt(0)) % 3600;
  // Everything but the gold of one's own seats.
  return 110 + (hash % 310);
};
/** Up to three letters, or the number of a bot. */
function initials(name) {
  const parts = name.split(/[ .'-]+/).filter(Boolean);
  const letters = /^\d{1,3}$/.test(parts.at(-1)) ? parts.at(-1) : parts.map((part) => [...part][0]).join("");
  return letters.slice(0, 3).toUpperCase();
}
const now = () => Date.now() / 1000;
const isHeld = (seat) => seat.state === "held" && seat.until > now();
const isMine = (seat) => seat.user === me?.user;
const left = (seat) => Math.max(0, Math.ceil(seat.until - now()));

/** Takes what the server says about a seat, unless something newer is known. */
function see(seat) {
  const known = seats.get(seat.seat);
  version = Math.max(version, seat.version);
  if (known && known.version > seat.version) return;
  if (known?.state === "held" && isMine(known) && !isHeld(known) && seat.state === "free") {
    notice(`Your hold of ${seat.seat} has ended.`);
  }
  if (isMine(seat) && isHeld(seat)) held.set(seat.seat, Math.max(1, seat.until - now()));
  seats.set(seat.seat, seat);
  draw(seat.seat);
}
const held = new Map(); // how long each of one's own holds was at its beginning

function draw(name) {
  const seat = seats.get(name);
  const button = buttons.get(name);
  const state = seat.state === "held" && !isHeld(seat) ? "free" : seat.state;
  const mine = state !== "free" && isMine(seat);
  button.className = `seat is-${state}${mine ? " is-mine" : ""}${button.dataset.waiting ? " is-waiting" : ""}${seat.user && seat.user === searched ? " is-found" : ""}`;
  button.style.setProperty("--hue", hue(seat.user));
  button.style.setProperty("--part", `${(100 * (seat.until - now())) / (held.get(name) ?? 1)}%`);
  const text = state === "free" ? name.slice(1) : !mine ? initials(seat.name) : state === "booked" ? "✓" : String(left(seat));
  if (button.firstChild.textContent !== text) button.firstChild.textContent = text;
  const holder = mine ? "you" : seat.name;
  const label = `Row ${name[0]}, seat ${name.slice(1)}: ${state === "free" ? "free" : `${state} by ${holder}`}`;
  if (button.ariaLabel !== label) {
    button.ariaLabel = label;
    button.title = label;
  }
  later();
}

/** Draws the lists beside the plan once per frame, however much has changed. */
let isDrawing = false;
function later() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    drawMine();
    drawPeople();
    const count = (test) => [...seats.values()].filter(test).length;
    $("count-held").textContent = count(isHeld);
    $("count-booked").textContent = count((seat) => seat.state === "booked");
    $("count-free").textContent = count((seat) => seat.state === "free" || (seat.state === "held" && !isHeld(seat)));
  });
}

/** Changes the children of a list only where they differ, so that the focus stays. */
function keep(list, wanted) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  wanted.forEach(({ key, text, make }, index) => {
    let child = old.get(key);
    if (child?.dataset.text !== text) {
      const fresh = make();
      fresh.dataset.key = key;
      fresh.dataset.text = text;
      const focused = child?.contains(document.activeElement);
      child?.replaceWith(fresh);
      child = fresh;
      if (focused) child.querySelector("button")?.focus();
    }
    if (list.children[index] !== child) list.insertBefore(child, list.children[index] ?? null);
    old.delete(key);
  });
  for (const child of old.values()) child.remove();
}

function drawMine() {
  const mine = [...seats.values()].filter((seat) => isMine(seat) && (seat.state === "booked" || isHeld(seat)));
  const holds = mine.filter(isHeld);
  keep(
    $("mine"),
    mine.map((seat) => ({
      key: seat.seat,
      text: `${seat.state} ${isHeld(seat) ? left(seat) : ""}`,
      make: () => {
        const isHold = seat.state === "held";
        const icon = element("i", { className: `seat is-mine is-${seat.state}`, "aria-hidden": "true" }, element("span", {}, isHold ? String(left(seat)) : "✓"));
        icon.style.setProperty("--part", `${(100 * (seat.until - now())) / (held.get(seat.seat) ?? 1)}%`);
        const what = isHold ? `held for ${left(seat)} s` : "booked";
        const back = element("button", { type: "button", "aria-label": `${isHold ? "Release" : "Give back"} ${seat.seat}` }, isHold ? "Release" : "Give back");
        back.onclick = () => call("seat.release", seat.seat);
        return element("li", {}, icon, element("span", { className: "what" }, element("b", {}, seat.seat), ` ${what}`), back);
      },
    })),
  );
  $("mine-none").hidden = mine.length > 0;
  $("mine-actions").hidden = holds.length === 0;
  $("book-all").textContent = holds.length === 1 ? `Book ${holds[0].seat}` : `Book ${holds.length} seats`;
}

const people = new Map(); // by the id of the connection: { user, name }

function drawPeople() {
  const users = new Map([...people.values()].map(({ user, name }) => [user, { user, name, seats: 0 }]));
  for (const seat of seats.values()) {
    if (!seat.user || (seat.state === "held" && !isHeld(seat))) continue;
    const person = users.get(seat.user) ?? { user: seat.user, name: seat.name, seats: 0, isGone: true };
    person.seats += 1;
    users.set(seat.user, person);
  }
  const rank = (person) => (person.user === me.user ? 2 : person.isGone ? 0 : 1);
  const sorted = [...users.values()].sort((a, b) => rank(b) - rank(a) || b.seats - a.seats || a.name.localeCompare(b.name));
  $("people-count").textContent = new Set([...people.values()].map(({ user }) => user)).size;
  const shown = sorted.slice(0, SHOWN_PEOPLE).map((person) => ({
    key: person.user,
    text: `${person.name} ${person.seats} ${person.isGone} ${searched === person.user}`,
    make: () => {
      const icon = element("i", { "aria-hidden": "true" }, initials(person.name));
      icon.style.setProperty("--hue", hue(person.user));
      const isMe = person.user === me.user;
      const text = `${person.name}${isMe ? " (you)" : ""}${person.seats ? ` · ${person.seats}` : ""}${person.isGone ? " · left" : ""}`;
      const button = element("button", { type: "button", "aria-pressed": String(searched === person.user), title: `Show the seats of ${person.name}` }, icon, text);
      button.onclick = () => search(searched === person.user ? null : person.user);
      return element("li", { className: isMe ? "is-me" : "" }, button);
    },
  }));
  const more = sorted.length - shown.length;
  if (more > 0) shown.push({ key: "", text: String(more), make: () => element("li", { className: "quiet" }, `and ${more} more`) });
  keep($("people"), shown);
}

/** Dims all seats but those of one person. */
function search(user) {
  searched = user;
  $("plan").classList.toggle("is-searched", user !== null);
  for (const name of seats.keys()) draw(name);
}

function notice(text) {
  $("notice").textContent = text;
}

// ---- What the person does -----------------------------------------------------------------------------------------------------------

let centrifuge = null;
let calls = 0;

/** Calls a method of PHP, and shows what that cost. Returns its answer, or nothing. */
async function call(method, seat) {
  calls += 1;
  const request = `${me.user}/${calls}`;
  const button = buttons.get(seat);
  if (button) button.dataset.waiting = "1";
  if (button) draw(seat);
  try {
    const { data: answer } = await centrifuge.rpc(method, seat === undefined ? { request } : { request, seat });
    if (answer.request !== request) throw new Error(`the answer to another request: ${answer.request}`);
    if (answer.seat) see(answer.seat);
    if (seat !== undefined) notice("");
    record(method, seat, wire.take(request), { worker: `php ${answer.worker}` });
    return answer;
  } catch (error) {
    const text = error.message ?? String(error);
    record(method, seat, wire.take(request), { isRefused: true, text });
    notice(seat === undefined ? text : `${seat}: ${text}.`);
    return undefined;
  } finally {
    if (button) delete button.dataset.waiting;
    if (button && seats.has(seat)) draw(seat);
  }
}

function record(method, seat, cost, { worker, isRefused, text }) {
  const { milliseconds, sent, received } = cost ?? { sent: 0, received: 0 };
  if (milliseconds !== undefined && method !== "connect") wire.times.push(milliseconds);
  if (wire.times.length > 1000) wire.times.shift();
  show({ text: `${method}${seat ? ` ${seat}` : ""}${text ? `: ${text}` : ""}`, milliseconds, sent, received, worker, isRefused });
  figures();
}

/** A free seat is held, one's own hold is released. */
function choose(name) {
  const seat = seats.get(name);
  if (!seat) return;
  if (isMine(seat) && seat.state === "booked") notice(`${name} is yours. Give it back in the list.`);
  else if (isMine(seat) && isHeld(seat)) call("seat.release", name);
  else call("seat.hold", name);
}

const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** The arrow keys move from seat to seat. */
function move(event) {
  const step = KEYS[event.key];
  const name = document.activeElement?.dataset.seat;
  if (!step || !name) return;
  event.preventDefault();
  const rows = Object.keys(ROWS);
  const from = rows.indexOf(name[0]);
  const row = rows[Math.min(rows.length - 1, Math.max(0, from + step[0]))];
  // Rows differ in length: the seat in front is as far from the middle.
  const shift = (ROWS[row] - ROWS[name[0]]) / 2;
  const number = Math.min(ROWS[row], Math.max(1, Number(name.slice(1)) + shift + step[1]));
  focusable(row + number).focus();
}

/** Makes one seat the one that Tab reaches. */
function focusable(name) {
  for (const button of buttons.values()) button.tabIndex = -1;
  buttons.get(name).tabIndex = 0;
  return buttons.get(name);
}

// ---- The connection -----------------------------------------------------------------------------------------------------------------

async function load() {
  const answer = await call("plan");
  if (!answer) return;
  for (const seat of answer.seats) see(seat);
  version = Math.max(version, answer.version);
}

function connect() {
  centrifuge = new Centrifuge(me.centrifugo, { data: { token: me.token }, websocket: Measured, minReconnectDelay: 200, maxReconnectDelay: 2000 });
  const link = (text, isOn) => {
    $("link").textContent = text;
    $("link").classList.toggle("is-on", isOn);
    document.body.classList.toggle("is-lost", !isOn);
  };
  centrifuge.on("connecting", () => link("connecting", false));
  centrifuge.on("connected", ({ data }) => {
    link("connected", true);
    record("connect", undefined, wire.take("connect"), { worker: `python ${data?.worker}` });
  });
  centrifuge.on("disconnected", ({ code, reason }) => {
    link(`disconnected: ${reason}`, false);
    if (code >= 4500) {
      // The token is not valid: that of another run, say.
      sessionStorage.removeItem("cinema");
      location.reload();
    }
  });

  const screening = centrifuge.newSubscription(CHANNEL, { data: { people: true } });
  screening.on("publication", ({ data }) => see(data));
  screening.on("join", ({ info }) => come(info));
  screening.on("leave", ({ info }) => {
    people.delete(info.client);
    later();
  });
  screening.on("subscribed", async () => {
    // Published changes arrive from now on, so nothing is missing between them and this.
    await load();
    const { clients } = await screening.presence();
    people.clear();
    for (const info of Object.values(clients)) come(info);
  });
  screening.subscribe();

  const countdown = centrifuge.newSubscription("countdown:1");
  let missed = 0;
  countdown.on("publication", ({ data }) => {
    const [minutes, seconds] = [Math.floor(data.seconds / 60), data.seconds % 60];
    $("left").textContent = data.seconds > 0 ? `${minutes}:${String(seconds).padStart(2, "0")}` : "It begins";
    $("left-label").textContent = data.seconds > 0 ? "until the film" : "The doors are closed.";
    // A worker that was killed may have changed a seat and published nothing.
    missed = data.version > version ? missed + 1 : 0;
    if (missed === 2) load();
    if (missed > 2) missed = 0;
  });
  countdown.subscribe();
  centrifuge.connect();
}

function come({ client, user, connInfo }) {
  people.set(client, { user, name: connInfo?.name ?? "somebody" });
  later();
}

function enter(session) {
  me = session;
  sessionStorage.setItem("cinema", JSON.stringify(me));
  $("login").hidden = true;
  $("cinema").hidden = false;
  $("status").href = me.status;
  document.title = `${me.name} · ${document.title}`;
  connect();
  setInterval(() => {
    for (const [name, seat] of seats) if (seat.state === "held") draw(name);
  }, 250);
}

async function login(name) {
  $("login-error").textContent = "";
  try {
    const response = await fetch("/login", { method: "POST", body: JSON.stringify({ name }) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    enter(answer);
  } catch (error) {
    $("login").hidden = false;
    $("login-error").textContent = error.message;
  }
}

lay();
$("plan").addEventListener("keydown", move);
$("plan").addEventListener("click", ({ target }) => {
  const name = target.closest(".seat")?.dataset.seat;
  if (name) choose(focusable(name).dataset.seat);
});
$("book-all").onclick = () => {
  for (const seat of seats.values()) if (isMine(seat) && isHeld(seat)) call("seat.book", seat.seat);
};
$("release-all").onclick = () => {
  for (const seat of seats.values()) if (isMine(seat) && isHeld(seat)) call("seat.release", seat.seat);
};
document.querySelector("#login form").onsubmit = (event) => {
  event.preventDefault();
  login($("name").value);
};

const kept = sessionStorage.getItem("cinema");
const asked = new URLSearchParams(location.search).get("name");
if (kept) enter(JSON.parse(kept));
else if (asked) login(asked);
else {
  $("login").hidden = false;
  $("name").focus();
}
