// The report's figures, drawn by plotly in the page's colours.

/** The colours of the report's figures that follow the page. */
const FOLLOWING = { "#1f2933": "--ink", "#dde3ea": "--line", "#444444": "--quiet" };

/** @type {ResizeObserver[]} */
const observers = [];

/** Draw all figures, again if need be. */
function drawFigures() {
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
  return figure;
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
