"use strict";
/* Sortable and filterable tables, and charts with uPlot. */
(() => {
  document.documentElement.classList.add("scripted");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return a === "" ? 1 : b === "" ? -1 : String(a).localeCompare(String(b));
  };
  for (const table of all("table.sorts"))
    all("thead th", table).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of all("thead th", table)) other.setAttribute("aria-sort", other === heading ? order : "none");
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const rows = all("tbody tr", table).sort((a, b) => compare(value(a), value(b)) * (order === "ascending" ? 1 : -1));
        table.tBodies[0].append(...rows);
      });
    });
  for (const input of all(".filter"))
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of all("tbody tr", input.closest("section")))
        row.hidden = ![...row.cells].some((cell) => cell.textContent.toLowerCase().includes(wanted));
    });

  const charts = JSON.parse(document.getElementById("charts").textContent);
  const palette = ["--result", "--edited", "--object-3", "--object-1", "--object-7", "--original", "--object-4"];
  const drawn = [];
  const draw = () => {
    while (drawn.length) drawn.pop().destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    for (const place of all("[data-chart]")) {
      const chart = charts[place.dataset.chart];
      const tables = chart.curves.map((curve) => {
        const order = curve.x.map((_, index) => index).sort((a, b) => curve.x[a] - curve.x[b]);
        const column = (values) => order.map((index) => (values ? values[index] : null));
        return [column(curve.x), column(curve.y), column(curve.low), column(curve.high)];
      });
      const series = [{ label: chart.x }];
      const bands = [];
      chart.curves.forEach((curve, number) => {
        const shade = colour(palette[number % palette.length]);
        const first = series.length;
        series.push({ label: curve.name, stroke: shade, width: 2, spanGaps: true, points: { show: true, size: 5 }, dash: number % 2 ? [6, 3] : undefined });
        series.push({ label: "low", stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
        series.push({ label: "high", stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
        if (curve.low && curve.high) bands.push({ series: [first + 2, first + 1], fill: `color-mix(in srgb, ${shade} 20%, transparent)` });
      });
      const axis = (label) => ({ label, stroke: colour("--muted"), grid: { stroke: colour("--hairline"), width: 1 }, ticks: { stroke: colour("--hairline") }, font: "12px system-ui", labelFont: "12px system-ui" });
      const plot = new uPlot(
        { width: place.clientWidth, height: 300, series, bands, scales: { x: { time: false } }, axes: [axis(chart.x), axis(chart.y)] },
        uPlot.join(tables),
        place,
      );
      for (const row of all(".u-legend .u-series", place)) {
        const label = row.querySelector(".u-label").textContent;
        if (label === "low" || label === "high") row.style.display = "none";
      }
      drawn.push(plot);
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("resize", () => {
    for (const plot of drawn) plot.setSize({ width: plot.root.parentElement.clientWidth, height: 300 });
  });
})();
