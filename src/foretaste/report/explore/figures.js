// The report's figures, drawn by plotly in the page's colours.

/** The colours of the report's figures that follow the page. */
const FOLLOWING = { "#1f2933": "--ink", "#dde3ea": "--line", "#444444": "--quiet" };

const narrow = matchMedia("(max-width: 40rem)");

/** @type {ResizeObserver[]} */
const observers = [];

/** Draw all figures, again if need be; plotly is the last script that is read. */
function drawFigures() {
  if (typeof Plotly === "undefined") return;
  for (const observer of observers.splice(0)) observer.disconnect();
  for (const holder of /** @type {NodeListOf<HTMLScriptElement>} */ (document.querySelectorAll("script[data-plot]"))) {
    const name = holder.dataset.plot ?? "";
    const place = findOnPage(`#${name}`);
    const figure = recolour(holder.textContent ?? "");
    const resize = () => {
      place.style.height = `${figure.layout.height}px`;
      Plotly.Plots.resize(place);
    };
    Plotly.newPlot(place, figure.data, figure.layout, plotOptions(name)).then(() => {
      const watching = new ResizeObserver(resize);
      watching.observe(place);
      observers.push(watching);
    });
  }
}

/** @param {string} text of a figure as JSON @returns {Figure} */
function recolour(text) {
  const [ink, line, card] = ["--ink", "--line", "--card"].map(colour);
  /** @type {Figure} */
  const figure = JSON.parse(Object.entries(FOLLOWING).reduce((text, [from, to]) => text.replaceAll(`"${from}"`, `"${colour(to)}"`), text));
  Object.assign(figure.layout, { paper_bgcolor: card, plot_bgcolor: card });
  figure.layout.font.color = ink;
  figure.layout.hoverlabel = { align: "left", bgcolor: card, font: { color: ink } };
  for (const [name, axis] of Object.entries(figure.layout)) if (/^[xy]axis/.test(name)) axis.gridcolor = line;
  if (figure.layout.ternary) figure.layout.ternary.bgcolor = card;
  if (figure.layout.meta === "parallel" && narrow.matches) turn(figure);
  return figure;
}

/** Put the axes of parallel lines below each other instead of side by side. @param {Figure} figure */
function turn(figure) {
  const { layout } = figure;
  for (const part of [...figure.data, ...layout.annotations]) [part.x, part.y] = [part.y, part.x];
  /** @type {string[]} */
  const names = layout.xaxis.ticktext.map((/** @type {string} */ name) => name.replace("<br>", " "));
  const place = { xref: "paper", x: 0, xanchor: "left", yshift: 16, showarrow: false, font: { size: 12 } };
  layout.annotations.push(...names.map((text, y) => ({ ...place, text: `<b>${text}</b>`, y })));
  layout.yaxis = { ...layout.xaxis, range: [names.length - 0.6, -0.6], showticklabels: false, linecolor: "transparent" };
  layout.xaxis = { visible: false, range: [-0.12, 1.12] };
  layout.height = 150 + 52 * names.length;
  layout.margin = { ...layout.margin, t: 36, b: 80 };
  const bar = { orientation: "h", x: 0.5, xanchor: "center", y: 0, yanchor: "top", len: 0.9 };
  for (const { marker } of figure.data) if (marker?.showscale) Object.assign(marker.colorbar, bar);
}

/** Options of a figure's buttons. @param {string} name */
function plotOptions(name) {
  /** @param {object} plot */
  const click = (plot) => Plotly.downloadImage(plot, { format: "svg", filename: name });
  return {
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    modeBarButtonsToAdd: [{ name: "SVG", title: "Download as SVG", icon: Plotly.Icons.disk, click }],
  };
}

narrow.addEventListener("change", drawFigures);
