'use strict';

// Everything is displayed through textContent, because peers choose names and addresses.

const [Active, Accepted, Refused, Received, Sent] = [0, 1, 2, 3, 4];
const SECONDS = 300;
const MINUTES = [4, 2, 0];
const STEPS = Array.from({ length: 13 }, (_, i) => [1, 2, 5].map(step => step * 10 ** i)).flat();
const SAMPLES_ACROSS_A_GAP = 3;
const MOST_ENDED = 50;
const MOST_ENDED_SHOWN = 15;

const byId = id => document.getElementById(id);
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const decimal = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

const samples = [];
const ended = [];
let which = '';
let limit = 50;
let allowChanges = false;
let state = '';

// ---- formatting

function rate(value) {
  return value === null ? '–' : value > 0 && value < 10 ? decimal.format(value) : number.format(value);
}

function bytes(value) {
  if (value === null) {
    return '–';
  }
  let unit = 0;
  while (value >= 999.5 && unit < 5) {
    value /= 1000;
    unit++;
  }
  return `${unit > 0 && value < 100 ? decimal.format(value) : number.format(value)} ${['B', 'kB', 'MB', 'GB', 'TB', 'PB'][unit]}`;
}

function time(seconds) {
  if (seconds === null || seconds === undefined) {
    return '–';
  }
  if (seconds > 0 && seconds < 1) {
    return `${number.format(seconds * 1000)} ms`;
  }
  if (seconds < 60) {
    return `${number.format(Math.floor(seconds))} s`;
  }
  const [large, small, names] = seconds < 3600 ? [60, 1, ['m', 's']] : seconds < 86400 ? [3600, 60, ['h', 'm']] : [86400, 3600, ['d', 'h']];
  return `${Math.floor(seconds / large)} ${names[0]} ${Math.floor(seconds % large / small)} ${names[1]}`;
}

const words = reason => reason.replaceAll('_', ' ');

// ---- elements

function make(tag, content = '', className = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...[content].flat().map(part => typeof part === 'number' ? String(part) : part));
  return element;
}

const peerText = text => make('bdi', text);
const sub = content => make('span', content, 'sub');

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

// Rows are kept by key and unchanged cells are not replaced, so that focus and selection are preserved.
function fill(body, rows, labels) {
  const keys = new Set(rows.map(row => row.key));
  [...body.children].filter(row => !keys.has(row.dataset.key)).forEach(row => row.remove());
  const kept = new Map([...body.children].map(row => [row.dataset.key, row]));
  let place = body.firstElementChild;
  for (const { key, cells, className } of rows) {
    let row = kept.get(key);
    if (!row) {
      row = make('tr', '', body.dataset.filled ? 'new' : '');
      row.dataset.key = key;
      for (const [i, cell] of cells.entries()) {
        row.append(cellOf(cell, labels[i]));
      }
    } else {
      for (const [i, cell] of cells.entries()) {
        if (!cell.keep) {
          const made = cellOf(cell, labels[i]);
          if (!row.cells[i].isEqualNode(made)) {
            row.cells[i].replaceWith(made);
          }
        }
      }
    }
    row.classList.toggle('refusal', className === 'refusal');
    if (row !== place) {
      body.insertBefore(row, place);
    } else {
      place = place.nextElementSibling;
    }
  }
  body.dataset.filled = 'yes';
}

function cellOf({ content, className = '' }, label) {
  const cell = make('td', content, className);
  cell.dataset.label = label;
  return cell;
}

const c = content => ({ content });
const long = content => ({ content, className: 'long' });
const n = content => ({ content, className: 'n' });

// ---- plots

const plots = [];

function plot(id, lines, show) {
  const place = byId(id);
  const styles = getComputedStyle(document.documentElement);
  const colour = name => styles.getPropertyValue(name).trim();
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  const chart = new uPlot({
    width: Math.max(place.clientWidth, 120),
    height: place.clientHeight,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 14, 0, 0],
    scales: { x: { time: true }, y: { range: (_, __, most) => [0, Math.max(most * 1.15, 4)] } },
    axes: [
      { ...axis, size: 24, splits: (_, __, from, to) => MINUTES.map(minutes => to - minutes * 60).filter(tick => tick >= from), values: (_, ticks) => ticks.map((_, i) => i === ticks.length - 1 ? 'now' : `−${MINUTES[i]} min`) },
      { ...axis, size: 58, space: 34, incrs: STEPS, values: (_, ticks) => ticks.map(show) },
    ],
    series: [{}, ...lines.map(({ name, dash, area }) => ({
      stroke: colour(name), width: 1.75, dash, fill: area ? colour(area) : undefined, spanGaps: false, points: { show: false },
    }))],
  }, [[], ...lines.map(() => [])], place);
  return chart;
}

function drawPlots() {
  plots.splice(0).forEach(chart => chart.destroy());
  plots.push(
    plot('plot-active', [{ name: '--accent', area: '--accent-soft' }], number.format),
    plot('plot-bytes', [{ name: '--accent', area: '--accent-soft' }, { name: '--second', dash: [4, 3] }], bytes),
    plot('plot-rate', [{ name: '--accent', area: '--accent-soft' }, { name: '--bad', dash: [4, 3] }], rate));
  update();
}

// ---- samples

function countsOf(sample) {
  return which === '' ? sample.total : sample.endpoints[which] ?? null;
}

function series() {
  const times = [];
  const values = Array.from({ length: 5 }, () => []);
  let before = null;
  for (const sample of samples) {
    const now = countsOf(sample);
    const seconds = before ? (sample.time - before.time) / 1000 : 0;
    const isGap = !before || seconds > SAMPLES_ACROSS_A_GAP;
    if (before && isGap) {
      times.push(before.time / 1000 + 1);
      values.forEach(list => list.push(null));
    }
    times.push(sample.time / 1000);
    const earlier = isGap ? null : countsOf(before);
    values[Active].push(now ? now[Active] : null);
    for (const what of [Accepted, Refused, Received, Sent]) {
      values[what].push(now && earlier && seconds > 0 ? Math.max(0, (now[what] - earlier[what]) / seconds) : null);
    }
    before = sample;
  }
  return { times, values };
}

function range(list, show) {
  const known = list.filter(value => value !== null);
  return known.length === 0 ? 'no values yet' : `now ${show(known.at(-1))}, highest ${show(Math.max(...known))}, lowest ${show(Math.min(...known))}`;
}

// One text per line of the plot, because the axis does not show their sum.
function describe(id, lines, show) {
  setText(byId(id), lines.map(([name, list]) => name === '' ? range(list, show) : `${name} ${range(list, show)}`).join('; '));
}

function update() {
  const { times, values } = series();
  const last = values.map(list => list.at(-1) ?? null);
  setText(byId('now-active'), rate(last[Active]));
  setText(byId('now-accepted'), rate(last[Accepted]));
  setText(byId('now-refused'), rate(last[Refused]));
  setText(byId('now-received'), bytes(last[Received]));
  setText(byId('now-sent'), bytes(last[Sent]));
  describe('plot-active-text', [['', values[Active]]], rate);
  describe('plot-bytes-text', [['received', values[Received]], ['sent', values[Sent]]], bytes);
  describe('plot-rate-text', [['accepted', values[Accepted]], ['refused', values[Refused]]], rate);
  if (plots.length === 0 || times.length === 0) {
    return;
  }
  const shown = { min: times.at(-1) - SECONDS, max: times.at(-1) };
  [[values[Active]], [values[Received], values[Sent]], [values[Accepted], values[Refused]]].forEach((lines, i) => {
    plots[i].setData([times, ...lines], false);
    plots[i].setScale('x', shown);
  });
}

function take(sample) {
  if (sample.time <= (samples.at(-1)?.time ?? 0)) {
    // The first sample is also the last one of the history.
    return;
  }
  samples.push(sample);
  while (samples.length > 0 && samples[0].time < sample.time - SECONDS * 1000) {
    samples.shift();
  }
  for (const connection of sample.ended) {
    ended.unshift({ ...connection, at: sample.time });
  }
  ended.length = Math.min(ended.length, MOST_ENDED);
}

// ---- tables

function clientCell(connection) {
  const parts = [connection.peer === null ? make('span', 'a Unix socket') : peerText(connection.peer)];
  if (connection.proxy !== null) {
    parts.push(sub(['through ', peerText(connection.proxy)]));
  }
  if (connection.clientName !== null) {
    parts.push(sub(['as ', peerText(connection.clientName)]));
  }
  return c(parts);
}

function tlsCell(connection) {
  const parts = connection.tlsVersion === null ? [] : [`TLS ${connection.tlsVersion}`];
  if (connection.serverName !== null) {
    parts.push(sub(['for ', peerText(connection.serverName)]));
  }
  return c(parts);
}

function isShown(connection) {
  return which === '' || connection.endpoint === which;
}

function showEnded() {
  const shown = ended.filter(isShown).slice(0, MOST_ENDED_SHOWN);
  byId('ended-none').hidden = shown.length > 0;
  fill(byId('ended'), shown.map(connection => ({
    key: connection.id,
    cells: [
      clientCell(connection), c(connection.endpoint), c(make('span', words(connection.closeReason), `mark ${toneOf(connection.closeReason)}`)),
      n(bytes(connection.bytesReceived)), n(bytes(connection.bytesSent)), n(time(connection.ageSeconds)), n(clock.format(connection.at)),
    ],
  })), ['Client', 'Endpoint', 'Reason', 'Received', 'Sent', 'Duration', 'Closed at']);
}

function toneOf(reason) {
  return ['closed_by_peer', 'closed_locally', 'drained'].includes(reason) ? ''
    : /^(refused|proxy_untrusted|handler_error|upstream|tls_|limit)/.test(reason) ? 'bad' : 'warn';
}

function showConnections({ active, connections, before }) {
  for (const head of document.querySelectorAll('th.act')) {
    head.hidden = !allowChanges;
  }
  byId('connections-none').hidden = connections.length > 0;
  byId('more').hidden = before === null || limit >= 1000;
  setText(byId('connections-count'), connections.length === 0 ? '' : before === null ? number.format(connections.length)
    : `the newest ${number.format(connections.length)} of ${number.format(which === '' ? active : openOf(which))}`);
  fill(byId('connections'), connections.map(connection => ({
    key: connection.id,
    cells: [
      clientCell(connection), c(connection.endpoint), tlsCell(connection), long(connection.upstream === null ? [] : [connection.upstream]),
      n(bytes(connection.bytesReceived)), n(bytes(connection.bytesSent)), n(time(connection.ageSeconds)), n(time(connection.idleSeconds === null ? null : Math.floor(connection.idleSeconds))),
      ...allowChanges ? [{ content: abortButton(connection), className: 'act', keep: true }] : [],
    ],
  })), ['Client', 'Endpoint', 'TLS', 'Upstream', 'Received', 'Sent', 'Age', 'Idle', 'Action']);
}

let latestEndpoints = [];
const openOf = name => latestEndpoints.find(endpoint => endpoint.name === name)?.active ?? 0;

function showEndpoints(answer) {
  latestEndpoints = answer.endpoints;
  allowChanges = answer.allowChanges;
  showState(answer.state);
  setText(byId('facts'), `version ${answer.version}, up ${time(answer.uptimeSeconds)}`);
  showChoices(answer.endpoints.map(endpoint => endpoint.name));
  fill(byId('endpoints'), answer.endpoints.map(endpoint => ({
    key: endpoint.name,
    cells: [
      c([make('span', endpoint.name, 'name'), ...endpoint.serving ? [] : [' ', make('span', 'not serving', 'mark warn')]]),
      long(endpoint.addresses.length > 0 ? endpoint.addresses.map(address => make('div', address)) : endpoint.url ?? '–'),
      c(endpoint.handler ?? '–'), n(number.format(endpoint.active)), n(number.format(endpoint.accepted)), n(number.format(endpoint.refused)),
      n(bytes(endpoint.bytesReceived)), n(bytes(endpoint.bytesSent)),
    ],
  })), ['Endpoint', 'Listens on', 'Handler', 'Open', 'Accepted', 'Refused', 'Received', 'Sent']);
  showReasons(answer.endpoints);
  showGroups(answer.groups);
  const certificates = answer.endpoints.flatMap(endpoint => [
    ...endpoint.certificates.map(certificate => ({ endpoint: endpoint.name, ...certificate })),
    ...endpoint.clientAuthoritiesError ? [{ endpoint: endpoint.name, subject: "clients' authorities", error: endpoint.clientAuthoritiesError }] : [],
  ]);
  byId('certificates-section').hidden = certificates.length === 0;
  fill(byId('certificates'), certificates.map(({ endpoint, subject, notAfter, error }, i) => ({
    key: `${i}`,
    cells: [
      error ? long([make('div', peerText(subject)), make('div', [make('span', 'changed file rejected', 'mark bad'), ' ', peerText(error)])]) : c(peerText(subject)),
      c(endpoint), notAfter ? expiry(new Date(notAfter)) : n('–'),
    ],
  })), ['Subject', 'Endpoint', 'Expires']);
  const upstreams = answer.endpoints.flatMap(endpoint => endpoint.upstreams.map(upstream => ({ endpoint: endpoint.name, ...upstream })));
  byId('upstreams-section').hidden = upstreams.length === 0;
  fill(byId('upstreams'), upstreams.map(({ endpoint, name, healthy, ejected, active }) => ({
    key: `${endpoint} ${name}`,
    cells: [long(name), c(endpoint), c(make('span', ejected ? 'ejected' : healthy ? 'healthy' : 'unhealthy', `mark ${ejected ? 'warn' : healthy ? '' : 'bad'}`)), n(number.format(active))],
  })), ['Upstream', 'Endpoint', 'Health', 'Open']);
}

let sentBefore = null;

// Rates are averages since the previous refresh.
function showGroups({ registered, count, sends, deliveries, largest }) {
  byId('groups-section').hidden = registered === 0 && sends === 0;
  const now = performance.now();
  const seconds = sentBefore ? (now - sentBefore.now) / 1000 : 0;
  const perSecond = (value, before) => rate(seconds > 0 ? Math.max(0, (value - before) / seconds) : null);
  setText(byId('groups-text'), `${number.format(count)} groups, ${number.format(registered)} connections, ${perSecond(sends, sentBefore?.sends)} sends and ${perSecond(deliveries, sentBefore?.deliveries)} deliveries per second`);
  sentBefore = { now, sends, deliveries };
  fill(byId('groups'), largest.map(({ name, members }) => ({ key: name, cells: [long(peerText(name)), n(number.format(members))] })), ['Group', 'Members']);
}

function expiry(date) {
  const days = (date - Date.now()) / 86400000;
  const left = days < 0 ? 'expired' : days < 2 ? `in ${time(days * 86400)}` : `in ${number.format(Math.floor(days))} days`;
  return n([make('div', day.format(date)), make('span', left, `mark ${days < 3 ? 'bad' : days < 21 ? 'warn' : ''}`)]);
}

function showReasons(endpoints) {
  const counts = new Map();
  for (const endpoint of endpoints.filter(endpoint => which === '' || endpoint.name === which)) {
    for (const [reasons, isRefusal] of [[endpoint.endedBy, false], [endpoint.refusedBy, true]]) {
      for (const [reason, count] of Object.entries(reasons)) {
        counts.set(reason, { count: (counts.get(reason)?.count ?? 0) + count, isRefusal });
      }
    }
  }
  byId('reasons-none').hidden = counts.size > 0;
  const sorted = [...counts].sort(([, a], [, b]) => b.count - a.count);
  fill(byId('reasons'), sorted.map(([reason, { count, isRefusal }]) => {
    const bar = make('meter');
    bar.max = sorted[0][1].count;
    bar.value = count;
    bar.setAttribute('aria-hidden', 'true');
    return { key: reason, className: isRefusal ? 'refusal' : '', cells: [c([words(reason), bar]), n(number.format(count))] };
  }), ['Reason', 'Connections']);
}

function showState(now) {
  byId('drain').hidden = !allowChanges || now !== 'serving';
  if (now !== state) {
    state = now;
    const badge = byId('state');
    badge.className = `badge ${now === 'serving' ? '' : now === 'draining' ? 'warn' : 'bad'}`;
    setText(badge, words(now));
    say(`The host is ${now}.`);
  }
}

function showChoices(names) {
  const choice = byId('which');
  const shown = [...choice.options].slice(1).map(option => option.value);
  if (shown.length !== names.length || shown.some((name, i) => name !== names[i])) {
    choice.replaceChildren(choice.options[0], ...names.map(name => {
      const option = make('option', name);
      option.value = name;
      return option;
    }));
    which = names.includes(which) ? which : '';
    choice.value = which;
  }
}

function say(text) {
  setText(byId('news'), text);
}

// ---- actions

function abortButton(connection) {
  const button = make('button', 'Abort…');
  button.type = 'button';
  button.setAttribute('aria-label', `Abort the connection of ${connection.peer ?? 'a Unix socket'}`);
  button.addEventListener('click', () => ask(
    'Abort this connection?',
    `The connection is reset at once. Data that was not sent to ${connection.peer ?? 'the client'} yet is lost.`,
    'Abort',
    () => change(`connections/${encodeURIComponent(connection.id)}`, 'DELETE')));
  return button;
}

let whenSure = null;

function ask(title, text, yes, action) {
  setText(byId('ask-title'), title);
  setText(byId('ask-text'), text);
  setText(byId('ask-yes'), yes);
  whenSure = action;
  byId('ask').showModal();
}

async function change(path, method) {
  const answer = await fetch(path, { method });
  say(answer.ok ? 'Done.' : (await answer.text()).trim());
  await refresh();
}

// ---- updates

let busy = false;

async function refresh() {
  if (busy || document.hidden) {
    return;
  }
  busy = true;
  try {
    const query = new URLSearchParams({ limit });
    if (which !== '') {
      query.set('endpoint', which);
    }
    const [endpoints, connections] = await Promise.all(['endpoints', `connections?${query}`].map(async path => {
      const answer = await fetch(path);
      if (!answer.ok) {
        throw new Error(`${path}: ${answer.status}`);
      }
      return answer.json();
    }));
    showEndpoints(endpoints);
    showConnections(connections);
    showEnded();
  } catch {
    // The host has stopped or is stopping. The event stream reconnects when it is back.
    showLink('lost');
  } finally {
    busy = false;
  }
}

function showLink(how) {
  const link = byId('link');
  if (!link.classList.contains(how)) {
    link.className = `link ${how}`;
    setText(link, how === 'live' ? 'live' : 'no connection to the host');
    say(how === 'live' ? '' : 'No connection to the host.');
  }
}

function listen() {
  const events = new EventSource('events');
  events.addEventListener('history', message => {
    samples.length = 0;
    ended.length = 0;
    JSON.parse(message.data).samples.forEach(take);
    showLink('live');
    update();
    refresh();
  });
  events.addEventListener('sample', message => {
    take(JSON.parse(message.data));
    showLink('live');
    update();
    refresh();
  });
  events.addEventListener('error', () => {
    showLink('lost');
    if (events.readyState === EventSource.CLOSED) {
      // Rejected, for example by the limit of open pages: a browser does not reconnect by itself.
      setTimeout(listen, 10000);
    }
  });
}

byId('which').addEventListener('change', event => {
  which = event.target.value;
  limit = 50;
  update();
  refresh();
});
byId('more').addEventListener('click', () => {
  limit = Math.min(limit * 2, 1000);
  refresh();
});
byId('drain').addEventListener('click', () => ask(
  'Drain this host?',
  'The host becomes not ready, accepts no new connections, and requests open connections to close. Only a restart undoes this.',
  'Drain',
  () => change('drain', 'POST')));
byId('ask-no').addEventListener('click', () => byId('ask').close());
byId('ask-yes').addEventListener('click', () => {
  byId('ask').close();
  whenSure();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawPlots);
new ResizeObserver(() => plots.forEach(chart => {
  const place = chart.root.parentElement;
  if (place.clientWidth !== chart.width) {
    chart.setSize({ width: Math.max(place.clientWidth, 120), height: place.clientHeight });
  }
})).observe(document.querySelector('.plots'));
document.addEventListener('visibilitychange', refresh);
drawPlots();
listen();
