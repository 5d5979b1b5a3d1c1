// Draws a history: one row per client, a bar per operation, faults as bands; over it the order of the operations that has
// been found, the window in which there is none, or the transactions of a cycle. One canvas, redrawn from flat arrays: a
// hundred thousand elements of a page would be too many. What comes from the history is only ever set as text.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);

  // Numbers of five bits a digit, the lowest first; a digit of 32 and more says that another one follows.
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const naturals = (text) => {
    const numbers = [];
    let number = 0, place = 1;
    for (let at = 0; at < text.length; at++) {
      const digit = DIGITS.indexOf(text[at]);
      number += (digit & 31) * place;
      if (digit < 32) {
        numbers.push(number);
        number = 0;
        place = 1;
      } else {
        place *= 32;
      }
    }
    return numbers;
  };
  const sums = (steps) => {
    let sum = 0;
    return steps.map((step) => (sum += step));
  };

  // Operations, as columns. An operation that never completed has `done` -1.
  const times = sums(naturals(data.times));
  const invoked = sums(naturals(data.invoked));
  const count = invoked.length;
  const done = naturals(data.lasted).map((lasted, op) => (lasted === 0 ? -1 : invoked[op] + lasted));
  const client = naturals(data.client);
  const callee = naturals(data.function);
  const texts = data.texts.length === 0 && count < 2 ? [""] : data.texts.split("\n");
  const keysOf = [];
  for (let at = 0, flat = naturals(data.key); at < flat.length; at += 1 + flat[at]) {
    keysOf.push(flat.slice(at + 1, at + 1 + flat[at]));
  }
  const outcome = (op) => data.outcome[op];
  const label = (op) => data.functions[callee[op]] + (texts[op] === "" ? "" : " " + texts[op]);
  const lanes = data.clients.map(() => []);
  for (let op = 0; op < count; op++) lanes[client[op]].push(op);

  const marked = new Set(data.marked);
  const open = new Set(data.window ? data.window.open : []);
  const blocked = data.window ? data.window.blocked : -1;

  // Where in the order of events each operation takes effect: between event `floor(point)` and the next one.
  const point = new Float64Array(count).fill(-1);
  const rank = new Int32Array(count).fill(-1);
  let ordered = 0;
  for (const [, text] of data.orders) {
    const order = sums(naturals(text).map((number) => (number % 2 === 0 ? number / 2 : -(number + 1) / 2)));
    for (let at = 0, last = 0; at < order.length; ) {
      last = Math.max(last, invoked[order[at]]);
      let end = at + 1;
      while (end < order.length && invoked[order[end]] <= last) end++;
      for (let op = at; op < end; op++) {
        point[order[op]] = last + (op - at + 1) / (end - at + 1);
        rank[order[op]] = op;
      }
      at = end;
    }
    ordered += order.length;
  }

  // The axis: nanoseconds or positions of events.
  let byTime = times.length > 1 && times[times.length - 1] > times[0];
  const place = (event) => (byTime ? times[event] : event);
  const between = (position) => {
    const low = Math.floor(position), high = Math.min(low + 1, times.length - 1);
    return place(low) + (place(high) - place(low)) * (position - low);
  };
  const whole = () => {
    const first = times.length === 0 ? 0 : place(0), last = times.length === 0 ? 1 : place(times.length - 1);
    return [first, Math.max(last, first + 1)];
  };
  const clock = (event) => {
    const ns = times[event] * data.unit_ns;
    const unit = ns >= 1e9 || times[times.length - 1] * data.unit_ns >= 1e9 ? [1e9, "s", 6] : [1e6, "ms", 6];
    return (ns / unit[0]).toFixed(unit[2]) + " " + unit[1];
  };
  // To the client's next operation, if it was never answered.
  const endOf = (op) => {
    if (done[op] >= 0) return done[op];
    const lane = lanes[client[op]], next = lane[indexIn(lane, op) + 1];
    return next === undefined ? times.length - 1 : invoked[next];
  };
  const indexIn = (lane, op) => {
    let low = 0, high = lane.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lane[middle] < op) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  // What is looked at.
  const LABELS = 110, TOP = 46, BOTTOM = 26;
  // How many operations before and after what the verdict is about belong to the picture.
  const NEIGHBOURS = 5;
  const canvas = byId("canvas"), pen = canvas.getContext("2d");
  let width = 0, height = 0, rowHeight = 22, scroll = 0;
  let [left, right] = whole();
  let chosen = -1, hovered = -1;
  let follow = null; // {kind, index, title, list}
  let colours = {};

  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ["ground", "panel", "ink", "faint", "line", "ok", "fail", "unknown", "marked", "open", "order", "band",
      "edge", "found", "good"];
    for (const name of names) colours[name] = style.getPropertyValue("--" + name).trim();
  };
  const toX = (value) => LABELS + ((value - left) / (right - left)) * (width - LABELS);
  const toValue = (x) => left + ((x - LABELS) / (width - LABELS)) * (right - left);
  const toY = (lane) => TOP + lane * rowHeight - scroll;

  const keepInside = () => {
    const [first, last] = whole(), room = (last - first) * 0.05;
    const span = Math.min(Math.max(right - left, Math.min(4, last - first)), (last - first) + 2 * room);
    const middle = (left + right) / 2;
    left = middle - span / 2;
    right = middle + span / 2;
    if (left < first - room) [left, right] = [first - room, first - room + span];
    if (right > last + room) [left, right] = [last + room - span, last + room];
    const below = lanes.length * rowHeight - (height - TOP - BOTTOM);
    scroll = Math.max(0, Math.min(scroll, below));
  };
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
  const show = (from, to) => {
    const span = Math.max(to - from, (whole()[1] - whole()[0]) * 1e-6);
    left = from - span * 0.15;
    right = to + span * 0.15;
    keepInside();
    redraw();
  };
  const showOps = (ops) => {
    if (ops.length === 0) return show(...whole());
    let from = Infinity, to = -Infinity, top = Infinity, bottom = 0, first = Infinity, last = 0;
    for (const op of ops) {
      first = Math.min(first, op);
      last = Math.max(last, op);
      from = Math.min(from, place(invoked[op]));
      to = Math.max(to, place(done[op] < 0 ? invoked[op] : done[op]));
      top = Math.min(top, client[op]);
      bottom = Math.max(bottom, client[op]);
    }
    scroll = ((top + bottom + 1) / 2) * rowHeight - (height - TOP - BOTTOM) / 2;
    // Some of what went before and came after belongs to the picture, unless it is far away.
    const far = (to - from) * 3;
    const earlier = Math.max(0, first - NEIGHBOURS), later = Math.min(invoked.length - 1, last + NEIGHBOURS);
    const before = place(invoked[earlier]);
    const after = place(done[later] < 0 ? invoked[later] : done[later]);
    show(Math.min(from, Math.max(before, from - far)), Math.max(to, Math.min(after, to + far)));
  };
  const zoom = (factor, x = (LABELS + width) / 2) => {
    const fixed = toValue(x);
    left = fixed - (fixed - left) * factor;
    right = fixed + (right - fixed) * factor;
    keepInside();
    redraw();
  };
  const move = (share) => {
    const by = (right - left) * share;
    left += by;
    right += by;
    keepInside();
    redraw();
  };

  const colourOf = (op) => {
    if (op === blocked || (marked.has(op) && blocked < 0)) return colours.marked;
    if (open.has(op)) return colours.open;
    return { o: colours.ok, f: colours.fail, u: colours.unknown }[outcome(op)];
  };
  const isFaint = (op) => follow !== null && !follow.set.has(op) && op !== chosen;

  const draw = () => {
    const paint = (colour) => (pen.fillStyle = pen.strokeStyle = colour);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.lineWidth = 1;

    // Bands: phases, faults, and what has an order.
    const bottom = height - BOTTOM;
    data.phases.forEach(([name, calm, begin], number) => {
      const end = number + 1 < data.phases.length ? data.phases[number + 1][2] : times.length - 1;
      const x = Math.max(toX(place(begin)), LABELS), until = toX(place(end));
      if (until < LABELS || x > width) return;
      paint(calm ? colours.good : colours.band);
      pen.fillRect(x, 0, Math.max(until - x, 1), 3);
      paint(colours.faint);
      pen.fillText(clip(name, until - x - 6), x + 4, 11);
    });
    data.faults.forEach(([name, detail, begin, end], number) => {
      const x = Math.max(toX(place(begin)), LABELS);
      const until = begin === end ? x : toX(end === null ? right : place(end));
      if (until < LABELS || x > width) return;
      paint(colours.band);
      pen.globalAlpha = 0.13;
      pen.fillRect(x, 18, Math.max(until - x, 2), bottom - 18);
      pen.globalAlpha = 1;
      pen.fillRect(x, 18, Math.max(until - x, 2), 2);
      pen.fillText(clip(detail === "" ? name : name + " " + detail, Math.max(until - x, 90)), x + 4, 28 + (number % 2) * 11);
    });
    if (data.window) {
      const from = data.window.from === null ? LABELS : toX(place(data.window.from));
      const until = toX(place(data.window.until));
      pen.globalAlpha = 0.12;
      paint(colours.order);
      if (from > LABELS) pen.fillRect(LABELS, TOP, Math.min(from, width) - LABELS, bottom - TOP);
      paint(colours.marked);
      if (until > LABELS) pen.fillRect(Math.max(from, LABELS), TOP, Math.max(until - Math.max(from, LABELS), 2), bottom - TOP);
      pen.globalAlpha = 1;
      pen.fillRect(until, TOP, 1.5, bottom - TOP);
    }

    // Operations.
    pen.save();
    pen.beginPath();
    pen.rect(0, TOP, width, bottom - TOP);
    pen.clip();
    const first = Math.max(0, Math.floor(scroll / rowHeight));
    const last = Math.min(lanes.length, Math.ceil((scroll + bottom - TOP) / rowHeight));
    for (let row = first; row < last; row++) drawLane(row, paint);
    pen.restore();
    // Not cut off at the top, where arrows from and to the first rows bow into the margin.
    data.steps.forEach((step, number) => drawStep(step, number, paint));

    for (const [text, at] of data.alarms) {
      const x = toX(place(at));
      if (x < LABELS || x > width) continue;
      paint(colours.marked);
      pen.fillRect(x, TOP - 8, 2, bottom - TOP + 8);
      pen.fillText(clip(text, width - x - 8), x + 5, TOP - 5);
    }
    drawAxis(paint);
  };

  const clip = (text, room) => {
    const fits = Math.floor(room / 6.2);
    return text.length <= fits ? text : fits < 3 ? "" : text.slice(0, fits - 1) + "…";
  };

  const drawLane = (row, paint) => {
    const y = toY(row), thick = Math.max(rowHeight - 6, 3);
    paint(follow && follow.kind === "client" && follow.index === row ? colours.found : colours.faint);
    if (rowHeight >= 11) pen.fillText(clip(data.clients[row], LABELS - 10), 8, y + rowHeight / 2);
    paint(colours.line);
    pen.fillRect(LABELS, y + rowHeight - 1, width - LABELS, 1);
    const lane = lanes[row];
    // The first that may end in sight: operations of one client do not overlap.
    let low = 0, high = lane.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (place(invoked[lane[middle]]) < left) low = middle + 1;
      else high = middle;
    }
    let drawnTo = -1;
    for (let at = Math.max(low - 1, 0); at < lane.length; at++) {
      const op = lane[at];
      const x = Math.max(toX(place(invoked[op])), LABELS);
      if (x > width) break;
      const end = Math.max(toX(place(endOf(op))), LABELS);
      const special = op === chosen || marked.has(op) || open.has(op) || (follow !== null && follow.set.has(op));
      // What would lie in a pixel that is full already says nothing new.
      if (!special && end < drawnTo + 0.7) continue;
      drawnTo = end;
      const long = Math.max(end - x - 0.5, 1.5);
      pen.globalAlpha = isFaint(op) ? 0.18 : 1;
      paint(colourOf(op));
      if (done[op] < 0) pen.globalAlpha *= 0.45;
      pen.fillRect(x, y + 2, long, thick);
      if (done[op] < 0) {
        pen.globalAlpha = isFaint(op) ? 0.18 : 1;
        pen.fillRect(x, y + 2, Math.min(long, 3), thick);
      }
      pen.globalAlpha = isFaint(op) ? 0.25 : 1;
      if (long > 26 && thick >= 10) {
        paint(colours.ink);
        pen.fillText(clip(label(op), long - 6), x + 4, y + 2 + thick / 2);
      }
      if (rank[op] >= 0 && point[op] >= 0) {
        const dot = toX(between(point[op]));
        if (dot >= LABELS && long > 4) {
          paint(colours.order);
          pen.fillRect(dot - 1, y + 1, 2, thick + 2);
        }
      }
      if (op === chosen || op === hovered || marked.has(op)) {
        paint(op === chosen || op === hovered ? colours.ink : colours.marked);
        pen.lineWidth = op === hovered ? 1 : 2;
        pen.strokeRect(x, y + 2, long, thick);
        pen.lineWidth = 1;
      }
      pen.globalAlpha = 1;
    }
  };

  const middleOf = (op) => {
    const from = toX(place(invoked[op])), to = toX(place(done[op] < 0 ? invoked[op] : done[op]));
    return [(from + to) / 2, toY(client[op]) + rowHeight / 2];
  };
  const drawStep = ([from, to, kind], number, paint) => {
    const [x, y] = middleOf(from), [toPlaceX, toPlaceY] = middleOf(to);
    // To the right of where it goes, so that there and back do not cover each other.
    const alongX = toPlaceX - x, alongY = toPlaceY - y, length = Math.hypot(alongX, alongY) || 1;
    const bow = Math.min(140, Math.max(70, length * 0.3));
    const midX = (x + toPlaceX) / 2 - (alongY / length) * bow, midY = (y + toPlaceY) / 2 + (alongX / length) * bow;
    paint(colours.edge);
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.quadraticCurveTo(midX, midY, toPlaceX, toPlaceY);
    pen.stroke();
    const angle = Math.atan2(toPlaceY - midY, toPlaceX - midX);
    pen.beginPath();
    pen.moveTo(toPlaceX, toPlaceY);
    pen.lineTo(toPlaceX - 10 * Math.cos(angle - 0.4), toPlaceY - 10 * Math.sin(angle - 0.4));
    pen.lineTo(toPlaceX - 10 * Math.cos(angle + 0.4), toPlaceY - 10 * Math.sin(angle + 0.4));
    pen.fill();
    pen.lineWidth = 1;
    const text = number + 1 + " " + kind, room = pen.measureText(text).width + 8;
    const textX = (x + 2 * midX + toPlaceX) / 4, textY = (y + 2 * midY + toPlaceY) / 4;
    paint(colours.edge);
    pen.fillRect(textX - room / 2, textY - 8, room, 16);
    paint(colours.ground);
    pen.fillText(text, textX - room / 2 + 4, textY + 0.5);
  };

  const drawAxis = (paint) => {
    const y = height - BOTTOM;
    paint(colours.ground);
    pen.fillRect(0, y, width, BOTTOM);
    paint(colours.line);
    pen.fillRect(LABELS, y, width - LABELS, 1);
    paint(colours.faint);
    const wanted = ((right - left) / Math.max(width - LABELS, 1)) * 110;
    const power = Math.pow(10, Math.floor(Math.log10(Math.max(wanted, 1e-9))));
    const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= wanted) || wanted;
    const scale = data.unit_ns;
    const unit = (right - left) * scale >= 2e9 || right * scale >= 1e10 ? [1e9, "s"]
      : right * scale >= 2e6 ? [1e6, "ms"] : right * scale >= 2e3 ? [1e3, "µs"] : [1, "ns"];
    for (let value = Math.ceil(left / step) * step; value <= right; value += step) {
      const x = toX(value);
      if (x < LABELS) continue;
      pen.fillRect(x, y, 1, 4);
      const text = byTime ? +((value * scale) / unit[0]).toPrecision(9) + " " + unit[1] : "event " + Math.round(value);
      pen.fillText(text, x + 3, y + 13);
    }
  };

  // Words beside the drawing.
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made[key] = value;
    return made;
  };
  const going = (text, action) => {
    const button = element("button", text, { type: "button", className: "go" });
    button.addEventListener("click", action);
    return button;
  };
  const goTo = (op) => going("operation " + op, () => choose(op, true));

  const choose = (op, bring) => {
    chosen = op;
    const box = byId("operation");
    box.replaceChildren();
    if (op < 0) {
      box.textContent = "Click a bar to see what it did, and to follow its key or its client.";
      return redraw();
    }
    if (bring) {
      const from = place(invoked[op]), to = place(done[op] < 0 ? invoked[op] : done[op]);
      const y = toY(client[op]);
      if (y < TOP || y + rowHeight > height - BOTTOM) scroll += y - height / 2;
      if (to < left || from > right || toX(to) - toX(from) < 4) {
        const span = Math.min(right - left, Math.max((to - from) * 30, 1));
        left = (from + to) / 2 - span / 2;
        right = left + span;
      }
      keepInside();
    }
    const list = element("dl");
    const row = (name, ...content) => {
      const cell = element("dd");
      cell.append(...content);
      list.append(element("dt", name), cell);
    };
    const means = { o: "ok", f: "failed: it never took effect", u: "unknown: it may have taken effect, or not" };
    row("operation", String(op));
    row("what", label(op));
    row("outcome", means[outcome(op)]);
    row("invoked", clock(invoked[op]) + ", event " + invoked[op]);
    row("answered", done[op] < 0 ? "never" : clock(done[op]) + ", event " + done[op]);
    row("client", going(data.clients[client[op]], () => followClient(client[op])));
    if (keysOf[op].length > 0) {
      const keys = keysOf[op].slice(0, 20).flatMap((key) => [going(data.keys[key], () => followKey(key)), " "]);
      row(keysOf[op].length === 1 ? "key" : "keys", ...keys);
    }
    if (rank[op] >= 0) row("order", "number " + (rank[op] + 1) + " in the order that was found");
    if (op === blocked) row("", "cannot return: see above");
    if (open.has(op)) row("", "open when operation " + blocked + " had to return");
    box.append(list);
    redraw();
  };

  const LISTED = 300;
  const followSome = (kind, index, title, list) => {
    follow = { kind, index, title, list, set: new Set(list) };
    byId("following").hidden = false;
    byId("following-title").textContent = title + ": " + list.length + (list.length === 1 ? " operation" : " operations");
    const items = list.slice(0, LISTED).map((op) => {
      const item = element("li", undefined);
      item.append(goTo(op), " " + label(op) + ({ o: "", f: " (failed)", u: " (unknown)" })[outcome(op)]);
      return item;
    });
    if (list.length > LISTED) items.push(element("li", "and " + (list.length - LISTED) + " more"));
    byId("following-list").replaceChildren(...items);
    redraw();
  };
  const letGo = () => {
    follow = null;
    byId("following").hidden = true;
    byId("search").value = "";
    byId("found").textContent = "";
    choose(-1, false);
  };
  const all = (wanted) => {
    const list = [];
    for (let op = 0; op < count; op++) if (wanted(op)) list.push(op);
    return list;
  };
  const followKey = (key) => followSome("key", key, "key " + data.keys[key], all((op) => keysOf[op].includes(key)));
  const followClient = (row) => followSome("client", row, data.clients[row], lanes[row]);

  const search = () => {
    const words = byId("search").value.trim().toLowerCase();
    if (words === "") return letGo();
    const named = { ok: "o", failed: "f", unknown: "u" }[words];
    const row = data.clients.findIndex((name) => name.toLowerCase() === words);
    const number = /^(operation )?#?\d+$/.test(words) ? Number(words.replace(/\D/g, "")) : -1;
    if (words.startsWith("operation ") && number >= 0 && number < count) return choose(number, true);
    const list = named ? all((op) => outcome(op) === named)
      : row >= 0 ? lanes[row]
      : all((op) => op === number || label(op).toLowerCase().includes(words));
    byId("found").textContent = list.length + " found";
    followSome("search", 0, "“" + words + "”", list);
  };

  const next = (step) => {
    const list = follow !== null ? follow.list : [...marked].sort((one, other) => one - other);
    // Nothing in particular is shown: one after the other.
    if (list.length === 0 && count > 0) choose(Math.max(0, Math.min(count - 1, chosen + step)), true);
    if (list.length === 0) return;
    const at = list.indexOf(chosen);
    const target = at < 0 ? (step > 0 ? 0 : list.length - 1) : (at + step + list.length) % list.length;
    choose(list[target], true);
  };
  // Along the row, or to the row above or below at the same time.
  const neighbour = (rows, step) => {
    if (chosen < 0) return;
    if (rows === 0) {
      const lane = lanes[client[chosen]], target = lane[indexIn(lane, chosen) + step];
      if (target !== undefined) choose(target, true);
      return;
    }
    for (let row = client[chosen] + rows; row >= 0 && row < lanes.length; row += rows) {
      if (lanes[row].length === 0) continue;
      const at = indexIn(lanes[row], chosen);
      return choose(lanes[row][Math.min(at, lanes[row].length - 1)], true);
    }
  };

  const proven = () => {
    const ops = data.window ? [blocked, ...data.marked, ...open] : data.marked;
    showOps(ops.filter((op) => op >= 0));
  };

  const words = () => {
    const span = times.length > 0 ? ((times[times.length - 1] - times[0]) * data.unit_ns) / 1e9 : 0;
    byId("summary").textContent = [data.model, count + " operations", data.clients.length + " clients",
      span >= 0.001 ? +span.toPrecision(4) + " s" : ""].filter((text) => text !== "").join(" · ");
    byId("steps").replaceChildren(...data.steps.map(([from, to, kind, text]) => {
      const item = element("li");
      item.append(goTo(from), " → ", goTo(to), " (" + kind + "): " + text);
      return item;
    }));
    if (data.window) {
      const box = byId("window"), { before, more, part } = data.window;
      const told = element("p");
      told.append(part === "" ? "" : part + ": ", ordered + " operations have an order (green ticks). Then ", goTo(blocked),
        " has to return, and cannot.");
      box.append(told);
      const states = element("ul");
      for (const [state, then] of before) {
        const item = element("li", state);
        if (then.length > 0) item.append(", after ", ...then.slice(-8).flatMap((op) => [goTo(op), " "]));
        states.append(item);
      }
      if (more > 0) states.append(element("li", "and " + more + " more"));
      if (before.length > 0) box.append(element("p", "Just before its answer:"), states);
      if (open.size > 0) {
        const opens = element("p", "Open at that moment: ");
        opens.append(...[...open].slice(0, 30).flatMap((op) => [goTo(op), " "]));
        box.append(opens);
      }
    } else if (ordered > 0) {
      byId("window").append(element("p", "Green ticks show when each operation took effect, in the order that proves it."));
    } else if (data.steps.length === 0 && data.marked.length > 0) {
      const about = element("p", "It is about ");
      about.append(...data.marked.slice(0, 30).flatMap((op) => [goTo(op), " "]));
      byId("window").append(about);
    }
  };
  const legend = () => {
    const entries = [["ok", "ok"], ["fail", "failed: it never took effect"],
      ["unknown", "unknown: it may have taken effect at any time since"]];
    if (data.marked.length > 0) entries.push(["marked", blocked >= 0 ? "cannot return (outlined: part of why)" : "part of what was found"]);
    if (open.size > 0) entries.push(["open", "open at that moment"]);
    if (ordered > 0) entries.push(["order", "tick: took effect here, in the order that was found"]);
    if (data.steps.length > 0) entries.push(["edge", "arrow: has to come before"]);
    if (data.faults.length > 0) entries.push(["band", "a fault"]);
    byId("legend").replaceChildren(...entries.map(([name, text]) => {
      const item = element("li"), swatch = element("span");
      swatch.style.background = colours[name];
      item.append(swatch, text);
      return item;
    }));
  };

  const opAt = (x, y) => {
    const row = Math.floor((y - TOP + scroll) / rowHeight);
    if (x < LABELS || y < TOP || y > height - BOTTOM || row < 0 || row >= lanes.length) return -1;
    const lane = lanes[row];
    let low = 0, high = lane.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (toX(place(invoked[lane[middle]])) <= x + 2) low = middle + 1;
      else high = middle;
    }
    let found = -1;
    for (let at = low - 1; at >= Math.max(0, low - 40); at--) {
      if (toX(place(endOf(lane[at]))) + 2 < x) break;
      if (found < 0 || marked.has(lane[at])) found = lane[at];
    }
    return found;
  };

  let drag = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = at(event);
    drag = { x, y, left, right, scroll, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (drag !== null) {
      drag.moved = drag.moved || Math.abs(x - drag.x) + Math.abs(y - drag.y) > 4;
      if (!drag.moved) return;
      canvas.classList.add("dragging");
      const by = ((drag.x - x) / (width - LABELS)) * (drag.right - drag.left);
      left = drag.left + by;
      right = drag.right + by;
      scroll = drag.scroll + drag.y - y;
      keepInside();
      return redraw();
    }
    const op = opAt(x, y);
    const tip = byId("tip");
    tip.hidden = op < 0;
    if (op >= 0) {
      tip.textContent = "operation " + op + ": " + label(op);
      tip.style.left = Math.min(x + 12, Math.max(width - 320, 0)) + "px";
      tip.style.top = (y + 60 > height ? y - 40 : y + 16) + "px";
    }
    if (op !== hovered) {
      hovered = op;
      redraw();
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    const [x, y] = at(event);
    canvas.classList.remove("dragging");
    const moved = drag !== null && drag.moved;
    drag = null;
    if (moved) return;
    if (x < LABELS && y >= TOP) {
      const row = Math.floor((y - TOP + scroll) / rowHeight);
      if (row >= 0 && row < lanes.length) followClient(row);
    } else {
      choose(opAt(x, y), false);
    }
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("pointerleave", () => {
    byId("tip").hidden = true;
    hovered = -1;
    redraw();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x] = at(event);
    if (event.shiftKey) {
      scroll += event.deltaY;
      keepInside();
      redraw();
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      move(event.deltaX / width);
    } else {
      zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), Math.max(x, LABELS));
    }
  }, { passive: false });

  const setTheme = (dark) => {
    document.documentElement.classList.toggle("dark", dark);
    readColours();
    legend();
    redraw();
  };
  const turnAxis = () => {
    // What was in the middle stays there.
    const seen = times.findIndex((_, event) => place(event) >= (left + right) / 2);
    const share = (right - left) / (whole()[1] - whole()[0]);
    byTime = !byTime;
    byId("axis").textContent = byTime ? "time" : "order";
    const middle = place(Math.max(seen, 0)), span = share * (whole()[1] - whole()[0]);
    [left, right] = [middle - span / 2, middle + span / 2];
    keepInside();
    redraw();
  };
  const actions = {
    back: () => next(-1), next: () => next(1), in: () => zoom(0.6), out: () => zoom(1 / 0.6), all: () => show(...whole()),
    proof: proven, axis: turnAxis, theme: () => setTheme(!document.documentElement.classList.contains("dark")),
  };
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
  byId("searching").addEventListener("submit", (event) => {
    event.preventDefault();
    if (follow !== null && follow.kind === "search") next(1);
  });
  byId("search").addEventListener("input", search);
  const keys = {
    "+": actions.in, "=": actions.in, "-": actions.out, "0": actions.all, v: proven, t: turnAxis, d: actions.theme,
    n: () => next(1), p: () => next(-1), ArrowLeft: () => move(-0.15), ArrowRight: () => move(0.15),
    ArrowUp: () => { scroll -= rowHeight * 2; keepInside(); redraw(); },
    ArrowDown: () => { scroll += rowHeight * 2; keepInside(); redraw(); },
    h: () => neighbour(0, -1), l: () => neighbour(0, 1), i: () => neighbour(-1, 0), j: () => neighbour(1, 0),
    k: () => { if (chosen >= 0 && keysOf[chosen].length > 0) followKey(keysOf[chosen][0]); },
    c: () => { if (chosen >= 0) followClient(client[chosen]); },
    "/": () => byId("search").focus(), Escape: letGo,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === byId("search")) {
      if (event.key === "Escape") {
        letGo();
        canvas.focus();
      }
      return;
    }
    const action = keys[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });

  const resize = () => {
    const box = canvas.parentElement.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    width = box.width;
    height = box.height;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    rowHeight = Math.max(18, Math.min(34, Math.floor((height - TOP - BOTTOM) / Math.max(lanes.length, 1))));
    keepInside();
    redraw();
  };
  window.addEventListener("resize", resize);
  words();
  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches);
  byId("axis").textContent = byTime ? "time" : "order";
  resize();
  proven();
})();
