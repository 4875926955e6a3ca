// Everything that the server sends becomes text (`textContent`), never markup; the policy of the page allows nothing else.

const $ = (id) => document.getElementById(id);
const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const instance = meta('instance');
const token = meta('token');

// --- Elements ---

const make = (name, attributes = {}, ...children) => {
  const isSvg = ['svg', 'path'].includes(name);
  const node = isSvg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

const write = (node, text) => {
  if (node.textContent !== String(text)) node.textContent = text;
};

const mark = (node, name, value) => {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
};

// Makes the children of `parent` those of `items`, and keeps the element of each key.
const keyed = (parent, items, key, create, update) => {
  const known = parent.known ??= new Map();
  const keys = new Set(items.map(key));
  for (const [name, node] of known) {
    if (!keys.has(name)) {
      node.remove();
      known.delete(name);
    }
  }
  items.forEach((item, index) => {
    let node = known.get(key(item));
    if (!node) known.set(key(item), node = create(item));
    update?.(node, item);
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
};

// --- Numbers and times ---

const count = (number) => Math.round(number).toLocaleString('en-US');

const rate = (number) => {
  if (number == null) return '–';
  return number >= 100 ? count(number) : number.toFixed(number >= 10 || number === 0 ? 0 : 1);
};

const duration = (seconds) => {
  if (!seconds) return '–';
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return age(seconds);
};

// A time from a histogram, whose last bound is 10 s.
const percentile = (seconds) => (seconds >= 10 ? 'over 10 s' : duration(seconds));

const age = (seconds) => {
  const [s, m, h, d] = [seconds, seconds / 60, seconds / 3600, seconds / 86400].map((n) => Math.floor(Math.max(n, 0)));
  if (d) return `${d} d ${h % 24} h`;
  if (h) return `${h} h ${m % 60} min`;
  if (m) return `${m} min ${s % 60} s`;
  return `${s} s`;
};

const bytes = (number) => {
  if (number == null) return '–';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (number >= 999.5 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit && number < 9.95 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
};

// What workers print may hold characters that move a cursor or turn the direction of writing.
const printable = (text) => text.replace(/[^\P{C}\n\t]/gu, '\ufffd').trim();

const percent = (number) => (number == null ? '–' : `${number.toFixed(number < 10 ? 1 : 0)} %`);
const clock = (date) => date.toLocaleTimeString('en-GB');
const moment = (seconds) => {
  const date = new Date(seconds * 1000);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock(date) : `${date.toLocaleDateString('en-CA')} ${clock(date)}`;
};

const writeTime = (node, seconds) => {
  const utc = new Date(seconds * 1000).toISOString();
  write(node, moment(seconds));
  mark(node, 'datetime', utc);
  mark(node, 'title', utc.replace('T', ' ').replace('Z', ' UTC'));
};

// --- Graphs ---

const HEIGHT = 48;
let history = null;

const ceiling = (value) => {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
};

const line = (values, points, top) => {
  let path = '';
  let pen = 'M';
  values.forEach((value, index) => {
    if (value == null) {
      pen = 'M';
      return;
    }
    const x = points - values.length + index;
    path += `${pen}${x} ${(HEIGHT * (1 - Math.min(value / top, 1))).toFixed(2)}`;
    pen = 'L';
  });
  return path;
};

const graph = ({ title, first, second, format, names, most: fixed }) => {
  const [area, one, two, cursor] = ['area', 'first', 'second', 'cursor'].map((name) => make('path', { class: name }));
  const svg = make('svg', { role: 'img', preserveAspectRatio: 'none' }, area, two, one, cursor);
  const [value, top] = [make('span', { class: 'value' }), make('span')];
  const figure = make('figure', {},
    make('figcaption', {}, make('span', {}, title), value), svg,
    make('div', { class: 'scale', 'aria-hidden': 'true' }, make('span', {}, '15 min ago'), top, make('span', {}, 'now')));
  let shown = { a: [], b: [], points: 180 };
  let pointed = null;
  const caption = () => {
    const { a, b, points } = shown;
    const index = pointed == null ? a.length - 1 : Math.round(pointed * (points - 1)) - (points - a.length);
    const when = pointed == null ? '' : `${age((a.length - 1 - index) * (history?.interval ?? 5))} ago: `;
    const at = (values) => (values[index] == null ? '–' : format(values[index]));
    const all = [[names[0], at(a)], ...(b.length ? [[names[1], at(b)]] : [])];
    write(value, index < 0 ? '–' : when + all.map((pair) => pair.filter(Boolean).join(' ')).join(' · '));
    const x = points - a.length + index;
    mark(cursor, 'd', pointed == null || index < 0 ? '' : `M${x} 0V${HEIGHT}`);
  };
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    pointed = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    caption();
  });
  svg.addEventListener('pointerleave', () => {
    pointed = null;
    caption();
  });
  figure.draw = (series) => {
    const [a, b] = [series?.[first] ?? [], second ? series?.[second] ?? [] : []];
    const points = history?.points ?? 180;
    shown = { a, b, points };
    const most = Math.max(0, ...a, ...b);
    const scale = fixed ?? ceiling(most);
    mark(svg, 'viewBox', `0 0 ${points - 1} ${HEIGHT}`);
    const path = line(a, points, scale);
    mark(one, 'd', path);
    const start = points - a.length;
    mark(area, 'd', path && !a.includes(null) ? `${path}L${points - 1} ${HEIGHT}L${start} ${HEIGHT}Z` : '');
    mark(two, 'd', b.some((value) => value > 0) ? line(b, points, scale) : '');
    write(top, `top ${format(scale)}`);
    caption();
    mark(svg, 'aria-label', `${title}, the last 15 minutes: now ${a.length ? format(a.at(-1) ?? 0) : 'unknown'}, at most ${format(most)}`);
  };
  return figure;
};

// --- Pools ---

const STATES = { ready: '○', working: '●', leaving: '◐', stopping: '✕', inactive: '◌' };

const figure = (name, isWide) => {
  const value = make('dd');
  const node = make('div', { class: isWide ? 'is-wide' : '' }, make('dt', {}, name), value);
  node.set = (text, isBad) => {
    write(value, text);
    node.classList.toggle('is-bad', Boolean(isBad));
  };
  return node;
};

const COLUMNS = [
  ['PID', (worker) => worker.pid],
  ['State', (worker) => `${STATES[stateOf(worker)] ?? '?'} ${stateOf(worker)}`],
  ['In hand', (worker) => `${worker.in_hand} of ${worker.concurrency}`, 'number', (pool) => pool.workers.some((worker) => worker.concurrency > 1)],
  ['Doing', (worker) => (worker.current ? `${worker.current.type}, ${duration(worker.current.elapsed)}` : '')],
  ['Requests', (worker) => count(worker.requests), 'number'],
  ['Memory', (worker) => bytes(worker.memory), 'number'],
  ['CPU', (worker) => percent(worker.cpu), 'number'],
  ['Age', (worker) => age(worker.age), 'number'],
];

const stateOf = (worker) => (worker.leaving && worker.state !== 'stopping' ? 'leaving' : worker.state);

// The number of workers of a pool whose table is open from the start.
const MAX_OPEN = 20;

const workersOf = () => {
  const [head, body] = [make('tr'), make('tbody')];
  const summary = make('summary');
  const table = make('table', {}, make('thead', {}, head), body);
  const region = make('div', { class: 'rows', tabindex: '0', role: 'region' }, table);
  const details = make('details', { open: '' }, summary, region);
  let last = null;
  details.addEventListener('toggle', () => last && details.draw(last));
  details.draw = (pool) => {
    if (!last) details.open = pool.workers.length <= MAX_OPEN;
    last = pool;
    mark(region, 'aria-label', `workers of ${pool.name}`);
    const columns = COLUMNS.filter(([, , , isShown]) => !isShown || isShown(pool));
    keyed(head, columns, ([name]) => name, ([name, , kind]) => make('th', { scope: 'col', class: kind ?? '' }, name));
    const states = new Map();
    for (const worker of pool.workers) states.set(stateOf(worker), (states.get(stateOf(worker)) ?? 0) + 1);
    const all = [...states].map(([state, number]) => `${number} ${state}`).join(', ');
    write(summary, `Workers: ${all || 'none'}${pool.more_workers ? `; ${pool.more_workers} more are not listed` : ''}`);
    if (!details.open) return;
    table.tHead.hidden = pool.workers.length === 0;
    keyed(body, pool.workers, (worker) => worker.pid, () => make('tr'), (row, worker) => {
      keyed(row, columns, ([name]) => name, ([, , kind]) => make('td', { class: kind ?? '' }), (cell, [name, show]) => {
        write(cell, show(worker));
        if (name === 'State') mark(cell, 'class', `is-${stateOf(worker)}`);
      });
    });
  };
  return details;
};

const poolOf = ({ name }) => {
  const title = make('h2', { id: `pool-${name}` }, name);
  const [state, command] = [make('span', { class: 'state' }), make('code')];
  const header = make('header', {}, title, state, command);
  const outcome = make('p', { class: 'outcome', role: 'status', hidden: '' });
  if (token) header.append(actionsOf(name, outcome), outcome);
  const figures = {
    rate: figure('requests/s'), hand: figure('in hand'), waiting: figure('waiting'),
    wait: figure('queue wait p99'), work: figure('worker time p50 / p99'),
    workers: figure('workers'), failures: figure('failed'), rejections: figure('rejected'), restarts: figure('replaced so far', true),
  };
  const graphs = [
    graph({ title: 'Requests per second', first: 'requests', second: 'failures', format: rate, names: ['', 'failed'] }),
    graph({ title: 'Worker time p99', first: 'worker_p99', second: 'wait_p99', format: percentile, names: ['', 'queue wait'] }),
    graph({ title: 'In workers', first: 'in_hand', second: 'waiting', format: count, names: ['', 'waiting'] }),
    graph({ title: 'Workers busy', first: 'busy', format: (share) => percent(share * 100), names: [''], most: 1 }),
  ];
  const boot = make('pre', { class: 'boot', tabindex: '0', hidden: '' });
  const workers = workersOf();
  const node = make('section', { class: 'pool', 'aria-labelledby': `pool-${name}` },
    header, boot, make('dl', { class: 'figures' }, ...Object.values(figures)), make('div', { class: 'graphs' }, ...graphs), workers);
  node.draw = (pool) => {
    const { serving } = pool;
    const isDown = pool.target > 0 ? serving === 0 : !pool.ready;
    const [text, kind] = isDown ? ['✕ no ready worker', 'down'] : serving < pool.target ? ['▲ short of workers', 'short'] : ['● ready', 'ready'];
    write(state, pool.required ? text : `${text} (not required)`);
    mark(state, 'class', `state is-${kind}`);
    write(command, pool.command);
    boot.hidden = !pool.failed_boot || serving >= pool.target;
    if (!boot.hidden) write(boot, `${moment(pool.failed_boot.at)} ${printable(pool.failed_boot.reason)}`);
    figures.rate.set(rate(pool.requests_per_second));
    figures.hand.set(`${count(pool.in_hand)} of ${count(pool.capacity)}`);
    figures.waiting.set(count(pool.waiting), pool.waiting > 0);
    figures.wait.set(percentile(pool.wait?.p99));
    figures.work.set(`${percentile(pool.worker?.p50)} / ${percentile(pool.worker?.p99)}`);
    figures.failures.set(`${count(pool.failures)} of ${count(pool.requests)}`);
    const rejections = Object.entries(pool.rejections).filter(([, times]) => times > 0);
    figures.rejections.set(rejections.map(([reason, times]) => `${count(times)} ${reason}`).join(', ') || '0');
    figures.workers.set(`${serving} of ${pool.target}`, serving < pool.target);
    const restarts = Object.entries(pool.restarts).map(([reason, times]) => `${reason} ${count(times)}`);
    figures.restarts.set(restarts.join(', ') || 'none');
    graphs.forEach((one) => one.draw(history?.pools[name]));
    workers.draw(pool);
  };
  return node;
};

// --- What is wrong ---

let announced = null;

const verdict = ({ at, state, problems, pools }) => {
  const ready = pools.filter((pool) => pool.ready).length;
  const well = pools.length === 1 ? 'Ready' : `All ${ready} pools are ready`;
  const shown = problems.length ? problems : [{ severity: 'well', kind: state, text: well }];
  keyed($('problems'), shown, ({ kind, pool }) => `${kind} ${pool}`, ({ severity }) => make('li', { class: severity },
    make('span', { 'aria-hidden': 'true' }, { critical: '✕', warning: '▲' }[severity] ?? '✓'), make('span'), make('time')),
  (node, problem) => {
    write(node.children[1], problem.text);
    write(node.children[2], problem.since ? `for ${age(at - problem.since)}` : '');
  });
  const worst = problems[0];
  const sign = worst && (worst.severity === 'critical' ? '✕' : '▲');
  document.title = `${worst ? `${sign} ${worst.text} – ` : ''}${location.host} – Causeway`;
  const kinds = shown.map(({ kind, pool }) => `${kind} ${pool}`).join();
  if (kinds !== announced) write($('announcement'), shown.map(({ text }) => text).join('. '));
  announced = kinds;
};

// --- Buttons ---

const actionsOf = (pool, outcome) => {
  const say = (text) => {
    write(outcome, text.trim());
    outcome.hidden = !text;
  };
  const ask = async (button, action) => {
    // Not `disabled`, which would take the focus away.
    button.setAttribute('aria-disabled', 'true');
    say('');
    try {
      const answer = await fetch('api/control', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Causeway-Token': token },
        body: JSON.stringify({ action, pool }),
        signal: AbortSignal.timeout(40000),
      });
      if (answer.status === 202) say(`${OPERATIONS[action]}: still running`);
      else if (!answer.ok) say(`✕ ${OPERATIONS[action]}: ${await answer.text()}`);
    } catch {
      say(`✕ ${OPERATIONS[action]}: the server has not answered`);
    }
    button.removeAttribute('aria-disabled');
  };
  const button = (text, action, asksTwice) => {
    const node = make('button', { type: 'button', 'data-action': action });
    const label = (text) => {
      write(node, text);
      mark(node, 'aria-label', `${text}: ${pool}`);
    };
    label(text);
    let timer = null;
    node.addEventListener('click', () => {
      if (node.hasAttribute('aria-disabled')) return;
      if (asksTwice && !timer) {
        label('Press again');
        timer = setTimeout(() => {
          timer = null;
          label(text);
        }, 4000);
        return;
      }
      clearTimeout(timer);
      timer = null;
      label(text);
      ask(node, action);
    });
    return node;
  };
  return make('div', { class: 'actions' },
    button('Reset', 'reset'), button('Add worker', 'add'), button('Remove worker', 'remove', true));
};

const OPERATIONS = { reset: 'reset', add: 'add a worker', remove: 'remove a worker' };
const OUTCOMES = { running: '◌ running', done: '✓ done', failed: '✕ failed' };

const showOperations = (operations) => {
  $('operations').hidden = operations.length === 0;
  keyed($('operations-list'), operations.toReversed(), ({ number }) => number, () => make('li'), (node, { at, action, pool, state, error }) => {
    write(node, `${moment(at)} ${pool}: ${OPERATIONS[action]}: ${OUTCOMES[state]}${error ? `: ${error}` : ''}`);
  });
};

// --- Deaths and slow requests ---

const entry = () => make('li', {}, make('time'), make('span'), make('pre', { tabindex: '0' }));

const fill = (node, at, text, words) => {
  writeTime(node.children[0], at);
  write(node.children[1], text);
  write(node.children[2], printable(words));
};

const showDeaths = (deaths) => {
  $('deaths').hidden = deaths.length === 0;
  keyed($('deaths-list'), deaths, ({ at, pid }) => `${at} ${pid}`, entry, (node, death) => {
    const { at, pool, pid, reason, exit, requests, age: lived, last_words } = death;
    fill(node, at, `${pool}: ${pid}: ${reason}, ${exit}, after ${count(requests)} ${requests === 1 ? 'request' : 'requests'} and ${age(lived)}`, last_words);
  });
};

const showSlow = (slow) => {
  $('slow').hidden = slow.length === 0;
  keyed($('slow-list'), slow, ({ at, pid }) => `${at} ${pid}`, entry, (node, request) => {
    const { at, pool, pid, type, method, channel, user, trace_id, took, doing } = request;
    const of = Object.entries({ method, channel, user, trace: trace_id }).filter(([, value]) => value);
    const named = of.map(([name, value]) => `${name} ${printable(value)}`).join(', ');
    fill(node, at, `${pool}: ${pid}: ${type} for ${duration(took)}${named && `: ${named}`}`, doing);
  });
};

// --- The bridge ---

const bridge = Object.fromEntries(['uptime', 'memory', 'CPU', 'open files', 'tasks'].map((name) => [name, figure(name)]));
$('bridge').append(...Object.values(bridge));
const calls = [
  graph({ title: 'Calls to Centrifugo per second', first: 'api', second: 'api_failures', format: rate, names: ['', 'failed'] }),
  graph({ title: 'RPC calls per second', first: 'rpc', second: 'rpc_failures', format: rate, names: ['', 'failed'] }),
];
$('calls').append(...calls);
let about = null;

const showBridge = ({ uptime, bridge: process }) => {
  bridge.uptime.set(age(uptime));
  bridge.memory.set(bytes(process?.memory));
  bridge.CPU.set(percent(process?.cpu));
  bridge['open files'].set(process ? `${count(process.open_files)} of ${count(process.max_open_files)}` : '–');
  bridge.tasks.set(process ? count(process.tasks) : '–');
  calls.forEach((one) => one.draw(history?.bridge));
};

const showAbout = () => {
  write($('versions'), `Causeway ${about.version} (${about.build.profile}, ${about.build.target}) for RoadRunner ${about.roadrunner}, pid ${about.pid}, started ${moment(about.started)}`);
  write($('loaded'), `Loaded ${moment(about.loaded)}`);
  write($('configuration'), JSON.stringify(about.configuration, null, 2));
  keyed($('warnings'), about.warnings, (warning) => warning, (warning) => make('li', {}, `▲ ${warning}`));
};

// --- Following the server ---

// A page that is seen follows the events. One that is not, or for which the server has no stream left, asks for a snapshot now and then:
// a browser has six connections to a server for all its tabs.
const [SOON, LATER, UNSEEN, ANSWER, SILENCE] = [1500, 10000, 30000, 5000, 15000];
let source = null;
let timer = null;
let isLost = false;
let heard = null;

const read = async (path) => (await fetch(path)).json();

const append = (snapshot) => {
  const point = snapshot.history;
  if (!history || point.count > history.count + 1 || point.count < history.count) return catchUp();
  if (point.count === history.count) return undefined;
  history.count = point.count;
  const extend = (known, series) => {
    for (const [key, values] of Object.entries(series)) {
      const all = known[key] ??= [];
      all.push(...values);
      if (all.length > history.points) all.shift();
    }
  };
  extend(history.bridge, point.bridge);
  for (const [name, series] of Object.entries(point.pools)) extend(history.pools[name] ??= {}, series);
  return undefined;
};

let isCatchingUp = false;
const catchUp = async () => {
  if (isCatchingUp) return;
  isCatchingUp = true;
  try {
    history = await read('api/history');
    about ??= await read('api/about');
    showAbout();
  } catch {
    // The next snapshot tries again.
  }
  isCatchingUp = false;
};

const show = (snapshot) => {
  if (snapshot.instance !== instance) {
    location.reload();
    return;
  }
  append(snapshot);
  if (about && about.loaded !== snapshot.configuration.loaded) {
    about = null;
    catchUp();
  }
  verdict(snapshot);
  keyed($('pools'), snapshot.pools, ({ name }) => name, poolOf, (node, pool) => node.draw(pool));
  showDeaths(snapshot.deaths);
  showSlow(snapshot.slow);
  showOperations(snapshot.operations);
  showBridge(snapshot);
};

const link = (symbol, text) => {
  write($('link').firstElementChild, symbol);
  write($('link-text'), text);
};

const receive = (snapshot) => {
  if (isLost) history = null;
  isLost = false;
  heard = Date.now();
  document.body.classList.remove('is-lost');
  $('lost').hidden = true;
  show(snapshot);
};

const lose = (reason) => {
  isLost = true;
  document.body.classList.add('is-lost');
  link('✕', 'not connected');
  const lost = heard ? `Connection lost at ${moment(heard / 1000)}. Showing the last data received.` : 'The server does not answer. Trying again.';
  write($('lost'), reason || lost);
  $('lost').hidden = false;
  document.title = `✕ Connection lost – ${location.host} – Causeway`;
};

const stop = () => {
  source?.close();
  source = null;
  clearTimeout(timer);
};

const poll = async (pause = LATER) => {
  stop();
  try {
    const answer = await fetch('api/snapshot', { signal: AbortSignal.timeout(ANSWER) });
    if (answer.ok) {
      receive(await answer.json());
      link('◐', 'refreshed every 10 s');
    } else {
      lose(await answer.text());
    }
  } catch {
    lose();
  }
  if (source) return;
  clearTimeout(timer);
  timer = document.hidden ? setTimeout(poll, UNSEEN) : setTimeout(follow, isLost ? SOON : pause);
};

const follow = () => {
  stop();
  const events = source = new EventSource('api/events');
  let last = Date.now();
  let pause = LATER;
  events.onmessage = ({ data }) => {
    last = Date.now();
    pause = SOON;
    receive(JSON.parse(data));
    link('●', 'live');
  };
  events.onerror = () => source === events && poll(pause);
  // A server that has stopped, or a network that is gone, may leave the stream open and silent.
  const watch = setInterval(() => {
    if (source !== events) clearInterval(watch);
    else if (Date.now() - last > SILENCE) poll(SOON);
  }, 1000);
};

document.addEventListener('visibilitychange', () => {
  stop();
  if (document.hidden) timer = setTimeout(poll, UNSEEN);
  else follow();
});
write($('host'), location.host);
follow();
