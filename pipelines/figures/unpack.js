// Unpacks Plotly, which stands in the page as compressed text, and draws every panel from the JSON after it.
const panels = document.querySelectorAll(".panel");
const LETTER = 8, BESIDE = 110, GAP = 18; // pixels

// Shows as many names on the x axis as there is room for; few names are shown all.
function thinned(axis, meta, width) {
  if (!meta.ticks.length || meta.all) return {};
  const longest = Math.max(...meta.ticks.map((name) => name.length));
  const every = Math.max(1, Math.ceil((meta.ticks.length * (longest * LETTER + GAP)) / (width - BESIDE)));
  const places = meta.ticks.map((_, place) => place).filter((place) => place % every === 0);
  return { "xaxis.tickvals": places, "xaxis.ticktext": places.map((place) => meta.ticks[place]) };
}

function draw() {
  for (const place of panels) {
    const chart = JSON.parse(place.nextElementSibling.textContent);
    const fitted = () => thinned(chart.layout.xaxis, chart.layout.meta, place.clientWidth);
    Plotly.newPlot(place, chart.data, chart.layout, { displaylogo: false, responsive: true }).then(() => {
      let width = 0;
      new ResizeObserver(() => {
        if (place.clientWidth === width) return;
        width = place.clientWidth;
        Plotly.relayout(place, { width, ...fitted() });
      }).observe(place);
    });
  }
}

async function unpack() {
  const text = document.getElementById("plotly").textContent;
  const packed = new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  const script = document.createElement("script");
  script.textContent = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(script);
  draw();
}

unpack().catch((error) => {
  for (const place of panels) place.textContent = `Cannot be drawn (${error}): see the PNG beside this page.`;
});
