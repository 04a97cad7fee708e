// Unpacks Plotly, which stands in the page as compressed text, and draws every chart from the JSON after it.
const charts = document.querySelectorAll(".chart");

function draw() {
  for (const place of charts) {
    const chart = JSON.parse(place.nextElementSibling.textContent);
    Plotly.newPlot(place, chart.data, chart.layout, { displaylogo: false, responsive: true });
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
  for (const place of charts) place.textContent = `Cannot be drawn (${error}): see the PNG beside this page.`;
});
