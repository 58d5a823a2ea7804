// What moves on the live page: pausing the refresh, saying when it fails, and the
// chart, which is drawn from the table of minutes below it.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const connection = document.getElementById("connection");
  const pause = document.getElementById("pause");
  if (!live) return;
  let paused = false;

  function say(text) {
    if (connection.textContent !== text) connection.textContent = text;
  }

  document.addEventListener("htmx:before:request", (event) => {
    if (paused || document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:response:error", () => say("No answer; these numbers are old."));
  document.addEventListener("htmx:error", () => say("No answer; these numbers are old."));
  document.addEventListener("htmx:after:swap", () => {
    say("");
    draw();
  });
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Paused" : "Pause";
  });

  let chart = null;
  let shape = "";
  const reading = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

  // read returns times in seconds, and per state its name and rates a second.
  function read() {
    const table = document.getElementById("minutes");
    if (!table) return null;
    const states = [...table.querySelectorAll("thead th[data-state]")].map((th) => th.dataset.state);
    const rows = [...table.tBodies[0].rows].filter((row) => row.dataset.at);
    const data = [rows.map((row) => Number(row.dataset.at))];
    states.forEach((_, i) => data.push(rows.map((row) => Number(row.cells[i + 1].dataset.rate))));
    // What is new is not drawn as an hour of nothing with a line at its end.
    const first = data[0].findIndex((_, at) => data.slice(1).some((rates) => rates[at] > 0));
    const from = Math.max(0, Math.min(first - 1, rows.length - 16));
    data.forEach((values, i) => { data[i] = values.slice(from); });
    return states.length > 0 && rows.length > 1 ? { states, data } : null;
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function options(place, states) {
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
    return {
      width: place.clientWidth,
      height: place.clientWidth < 500 ? 190 : 240,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      axes: [
        { ...axis, values: "{HH}:{mm}", space: 60 },
        { ...axis, size: 56, values: (_, ticks) => ticks.map((n) => reading.format(n)) },
      ],
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: place.clientWidth >= 700 },
      series: [
        { label: "Minute", value: "{HH}:{mm}" },
        ...states.map((state) => ({
          label: state, stroke: colour(state), width: 2, points: { show: false },
          value: (_, n) => (n === null ? "–" : reading.format(n)),
        })),
      ],
    };
  }

  function draw() {
    const place = document.getElementById("chart");
    const now = read();
    if (!place || typeof uPlot === "undefined") return;
    if (!now) {
      if (chart) chart.destroy();
      chart = null;
      shape = "";
      return;
    }
    const wanted = now.states.join(" ") + " " + place.clientWidth;
    if (chart && shape === wanted && place.contains(chart.root)) {
      chart.setData(now.data);
      return;
    }
    if (chart) chart.destroy();
    chart = new uPlot(options(place, now.states), now.data, place);
    shape = wanted;
  }

  function redraw() {
    shape = "";
    draw();
  }

  new ResizeObserver(draw).observe(document.getElementById("chart"));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  draw();
})();
