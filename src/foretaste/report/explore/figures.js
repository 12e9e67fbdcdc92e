// The figures of the report, by plotly, in the page's colours.

/** What follows the page among the colours that the report is made with. */
const FOLLOWING = { "#1f2933": "--ink", "#dde3ea": "--line", "#444444": "--quiet" };

/** @type {ResizeObserver[]} */
const watched = [];

/** Draw all of them, again if need be. */
function drawFigures() {
  for (const each of watched.splice(0)) each.disconnect();
  for (const holder of /** @type {NodeListOf<HTMLScriptElement>} */ (document.querySelectorAll("script[data-plot]"))) {
    const name = holder.dataset.plot ?? "";
    const place = onPage(`#${name}`);
    const figure = coloured(holder.textContent ?? "");
    const resize = () => {
      place.style.height = `${figure.layout.height}px`;
      Plotly.Plots.resize(place);
    };
    Plotly.newPlot(place, figure.data, figure.layout, offers(name)).then(() => {
      const watching = new ResizeObserver(resize);
      watching.observe(place);
      watched.push(watching);
    });
  }
}

/** @param {string} text of a figure as JSON @returns {Figure} */
function coloured(text) {
  const [ink, line, card] = ["--ink", "--line", "--card"].map(colour);
  /** @type {Figure} */
  const figure = JSON.parse(Object.entries(FOLLOWING).reduce((found, [from, to]) => found.replaceAll(`"${from}"`, `"${colour(to)}"`), text));
  Object.assign(figure.layout, { paper_bgcolor: card, plot_bgcolor: card });
  figure.layout.font.color = ink;
  figure.layout.hoverlabel = { align: "left", bgcolor: card, font: { color: ink } };
  for (const [name, axis] of Object.entries(figure.layout)) if (/^[xy]axis/.test(name)) axis.gridcolor = line;
  if (figure.layout.ternary) figure.layout.ternary.bgcolor = card;
  return figure;
}

/** The buttons above a figure. @param {string} name */
function offers(name) {
  /** @param {object} plot */
  const click = (plot) => Plotly.downloadImage(plot, { format: "svg", filename: name });
  return {
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    modeBarButtonsToAdd: [{ name: "SVG", title: "Download as SVG", icon: Plotly.Icons.disk, click }],
  };
}
