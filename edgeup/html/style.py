"""How the pages look: light and dark, on a phone, and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1b1f24; --soft: #59636e; --line: #d8dee4; --panel: #f6f8fa;
  --good: #1a7f37; --bad: #c21f2f; --warn: #8a5a00; --bad-panel: #ffeceb; --good-panel: #e9f7ec;
  --down: #7d8590; --up: #0072b2; --accent: #0072b2; --grid: #e4e7eb;
  --dense: #d55e00; --pointwise: #0072b2; --depthwise: #009e73; --other-kind: #b0629a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1318; --ink: #e6e9ed; --soft: #9aa4af; --line: #30363d; --panel: #171c23;
    --good: #56d364; --bad: #ff7b72; --warn: #e3b341; --bad-panel: #3a1d1f; --good-panel: #12301b;
    --down: #768390; --up: #56b4e9; --accent: #56b4e9; --grid: #262c34;
    --dense: #f08a3c; --pointwise: #56b4e9; --depthwise: #2cc295; --other-kind: #d391bf;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 66rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .35rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace; font-size: .85em; }
code { overflow-wrap: anywhere; }
pre { margin: .4rem 0; padding: .7rem .8rem; background: var(--panel); border-radius: .4rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.verdict { margin: .9rem 0; padding: .7rem .9rem; border-radius: .4rem;
  border-left: .35rem solid var(--good); background: var(--good-panel); }
.verdict.failed { border-color: var(--bad); background: var(--bad-panel); }
.verdict.open { border-color: var(--soft); background: var(--panel); }
.verdict p { margin: .15rem 0; } .verdict p:first-child strong { font-size: 1.1rem; }
.tiles { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr));
  margin: .9rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border-radius: .4rem; padding: .6rem .75rem; }
.tiles b { display: block; font-size: 1.2rem; line-height: 1.3; overflow-wrap: anywhere; }
.tiles span { color: var(--soft); font-size: .85rem; display: block; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: .9rem; margin: .4rem 0; }
th, td { padding: .3rem .7rem .3rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
.text { text-align: left; }
td.text { max-width: 26rem; overflow-wrap: break-word; }
tbody th.text { min-width: 8rem; max-width: 20rem; overflow-wrap: break-word; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
ul { padding-left: 1.2rem; margin: .4rem 0; } li { overflow-wrap: anywhere; }
figure { margin: .6rem 0; min-width: 0; }
.charts { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); }
.chart { display: block; width: 100%; max-width: 30rem; height: auto; }
.wide { display: block; height: auto; max-width: none; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; margin: .4rem 0; }
.pictures figure { width: min(14rem, 45%); margin: 0; }
.pictures img { display: block; width: 100%; height: auto; image-rendering: pixelated;
  border: 1px solid var(--line); }
summary { cursor: pointer; color: var(--accent); padding: .2rem 0; }
svg text { fill: var(--ink); font-family: inherit; font-size: 11px; }
svg text.soft { fill: var(--soft); font-size: 11px; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
.axis { stroke: var(--soft); stroke-width: 1; fill: none; } .grid { stroke: var(--grid); }
.encoder { fill: var(--down); } .decoder { fill: var(--up); } .fill { fill: var(--accent); }
.roof { stroke: var(--ink); stroke-width: 1.5; fill: none; } .dash { stroke-dasharray: 5 3; }
.mark { stroke: var(--bad); stroke-width: 1.5; } .frontier { stroke: var(--accent); fill: none; }
.disc { stroke: var(--page); fill-opacity: .8; } .leader { stroke: var(--ink); stroke-width: .7; }
svg text.halo { paint-order: stroke; stroke: var(--page); stroke-width: 3px;
  stroke-linejoin: round; }
.dense, .matmul, .transposed { fill: var(--dense); } .pointwise { fill: var(--pointwise); }
.depthwise, .depthwise-transposed { fill: var(--depthwise); }
.other-kind { fill: var(--other-kind); }
svg.bar { display: block; width: 7rem; height: .7rem; margin-top: .35rem; }
.track { fill: var(--grid); }
.down { display: none; }
@media (max-width: 34rem) {
  main { padding: 1rem .8rem 3rem; }
  dl { grid-template-columns: fit-content(38%) 1fr; gap: .2rem .7rem; }
  td.text, tbody th.text { max-width: 15rem; } tbody th.text { min-width: 4.5rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  thead th.number { white-space: normal; }
  .across { display: none; } .down { display: block; }
  .down svg { display: block; width: 100%; height: auto; }
  .bars tbody th.text { min-width: 5.5rem; max-width: 6rem; overflow-wrap: anywhere; }
  .bars th, .bars td { padding-right: .5rem; } .bars svg.bar { width: 3rem; }
  .bars td.text { white-space: nowrap; max-width: none; }
}
@media print {
  :root {
    color-scheme: light;
    --page: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb; --panel: #f3f3f3;
    --good: #1a7f37; --bad: #b3101f; --warn: #6f4800; --bad-panel: #fdecec; --good-panel: #edf7ee;
    --down: #7d8590; --up: #0072b2; --accent: #0072b2; --grid: #dddddd;
  }
  body { font-size: 10pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2, h3, p:has(+ .pictures) { break-after: avoid; }
  tr, figure, .tiles li, .verdict { break-inside: avoid; }
  .scroll { overflow: visible; } table { font-size: 8.5pt; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); }
  .wide { width: auto; max-width: 100%; max-height: 4.5cm; }
  .pictures figure { width: 23%; } .screen { display: none; }
  summary { display: block; color: var(--ink); font-weight: 600; break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""
