"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];

  $("#theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  });

  // Findings by severity and text.
  const chips = all(".chip");
  const find = $("#find");
  const filter = () => {
    const shown = new Set(chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.severity));
    const text = find.value.trim().toLowerCase();
    let left = 0;
    for (const finding of all(".finding")) {
      const hit = shown.has(finding.dataset.severity) && finding.textContent.toLowerCase().includes(text);
      finding.hidden = !hit;
      left += hit ? 1 : 0;
    }
    $("#nothing").hidden = left > 0;
  };
  if (find) {
    for (const chip of chips) {
      chip.addEventListener("click", () => {
        chip.ariaPressed = chip.ariaPressed === "true" ? "false" : "true";
        filter();
      });
    }
    find.addEventListener("input", filter);
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        find.focus();
      }
    });
  }

  const findProbe = $("#find-probe");
  findProbe?.addEventListener("input", () => {
    const text = findProbe.value.trim().toLowerCase();
    for (const row of all("#probe-table tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(text);
  });

  // The timeline: all shapes stand in milliseconds, so zooming moves the view box.
  const picture = $("#picture");
  if (!picture) return;
  const whole = [Number(picture.dataset.start), Number(picture.dataset.end)];
  let [from, to] = whole;
  const axis = $("#axis");
  const svgs = all("#picture svg.lanes");

  const label = (ms, step) => `${(ms / 1000).toFixed(step >= 1000 ? 0 : Math.min(3, Math.max(1, 3 - Math.floor(Math.log10(step)))))} s`;
  const draw = () => {
    for (const svg of svgs) {
      const height = svg.viewBox.baseVal.height;
      svg.setAttribute("viewBox", `${from} 0 ${to - from} ${height}`);
    }
    const rough = (to - from) / 8;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const grid = svgs[0].querySelector(".grid");
    const height = svgs[0].viewBox.baseVal.height;
    axis.replaceChildren();
    grid.replaceChildren();
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const mark = document.createElement("span");
      mark.style.left = `${((at - from) / (to - from)) * 100}%`;
      mark.textContent = label(at, step);
      axis.append(mark);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      for (const [name, value] of [["x1", at], ["x2", at], ["y1", 0], ["y2", height]]) line.setAttribute(name, value);
      grid.append(line);
    }
  };
  const show = (start, end) => {
    const length = Math.min(Math.max(end - start, 2), whole[1] - whole[0]);
    from = Math.min(Math.max(start, whole[0]), whole[1] - length);
    to = from + length;
    draw();
  };
  const zoom = (factor, at = (from + to) / 2) => show(at - (at - from) * factor, at + (to - at) * factor);
  const move = (share) => show(from + (to - from) * share, to + (to - from) * share);

  for (const button of all("[data-zoom]")) {
    button.addEventListener("click", () => ({ in: () => zoom(0.5), out: () => zoom(2), all: () => show(...whole) })[button.dataset.zoom]());
  }
  picture.addEventListener("keydown", (event) => {
    const keys = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(...whole), ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const timeAt = (event) => {
    const box = svgs[0].getBoundingClientRect();
    return from + ((event.clientX - box.left) / box.width) * (to - from);
  };
  picture.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event));
  }, { passive: false });
  picture.addEventListener("dblclick", (event) => zoom(0.5, timeAt(event)));
  for (const button of all(".goto")) {
    button.addEventListener("click", () => {
      const [start, end] = [Number(button.dataset.from), Number(button.dataset.to)];
      const edge = Math.max((end - start) * 0.3, 20);
      show(start - edge, end + edge);
      picture.scrollIntoView({ block: "center" });
      picture.focus({ preventScroll: true });
    });
  }

  const tip = $("#tip");
  const tell = (bar, x, y) => {
    tip.textContent = bar.getAttribute("aria-label");
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 20 + box.height > innerHeight ? y - box.height - 12 : y + 20}px`;
  };
  picture.addEventListener("pointermove", (event) => {
    const bar = event.target.closest("rect.bar");
    if (bar) tell(bar, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  picture.addEventListener("pointerleave", () => { tip.hidden = true; });
  picture.addEventListener("focusin", (event) => {
    const bar = event.target.closest("rect.bar");
    if (!bar) return;
    const box = bar.getBoundingClientRect();
    tell(bar, Math.max(box.left, 0), box.bottom - 12);
  });
  picture.addEventListener("focusout", () => { tip.hidden = true; });
})();
