"""The report's frame: HTML and the style sheet that gives plots and words their colours, in light and dark."""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root {
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", sans-serif;
  --page: #f4f6f8; --surface: #ffffff; --ink: #18212b; --muted: #566373; --grid: #dfe4ea;
  --first: #1f6fb4; --second: #c8641b;
  --wait-0: #c5ced8; --wait-1: #85b3de; --wait-2: #2f78bd; --wait-3: #0f3764;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161b; --surface: #1a2027; --ink: #e8edf2; --muted: #9caab9; --grid: #313a45;
    --first: #5ba6e6; --second: #ee9350;
    --wait-0: #46515e; --wait-1: #2f6ca8; --wait-2: #69ade8; --wait-3: #d6e9fb;
  }
}
@media print { :root { --page: #ffffff; } section, .tile { break-inside: avoid; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 var(--sans); }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 56px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 18px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 6px; }
section { background: var(--surface); border: 1px solid var(--grid); border-radius: 10px; padding: 18px 20px;
  margin: 16px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tile { background: var(--surface); border: 1px solid var(--grid); border-radius: 10px; padding: 12px 16px; }
.value { font-size: 23px; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; }
.label { color: var(--muted); font-size: 13px; margin-top: 2px; }
.note { color: var(--muted); font-size: 13.5px; margin: 0 0 10px; max-width: 110ch; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 0 40px; }
.plot svg { width: 100%; height: auto; display: block; margin: 6px 0 10px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap; }
th { color: var(--muted); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
.facts td { text-align: right; white-space: normal; overflow-wrap: anywhere; }
tr:last-child th, tr:last-child td { border-bottom: 0; }
thead th { border-bottom: 1px solid var(--muted); }
summary { cursor: pointer; color: var(--muted); margin: 8px 0; }
dt { font-weight: 600; margin-top: 8px; }
dd { margin: 0; color: var(--muted); }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<div class="tiles">$tiles</div>
<section class="columns"><div><h2>The run</h2>$settings</div><div><h2>Its figures</h2>$figures</div></section>
$body
<section><details><summary>What the words mean</summary><dl>$definitions</dl></details></section>
</main>
</body>
</html>
"""
