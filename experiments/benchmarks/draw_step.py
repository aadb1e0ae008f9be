"""draw_step.py PROFILE.json OUT.svg [STEP]: one step of `train --profile` as a picture, a lane per thread."""
import json
import sys

COLOURS = {"forward": "#7aa6c2", "backward": "#3f6f8f", "CTC": "#b08fc7", "update": "#8fb98f", "communication wait": "#d9d9d9",
           "all_reduce": "#e39b54", "all_gather": "#c9c07a"}
WIDTH, LEFT, LANE = 980, 130, 34


def main():
    events = json.load(open(sys.argv[1]))
    events = events["traceEvents"] if isinstance(events, dict) else events
    lanes = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    spans = [e for e in events if e["ph"] == "X"]
    steps = sorted((e for e in spans if e["name"] == "step"), key=lambda e: e["ts"])
    step = steps[int(sys.argv[3]) if len(sys.argv) > 3 else len(steps) // 2]
    begin, length = step["ts"], step["dur"]
    scale = (WIDTH - LEFT - 40) / length
    shown = [e for e in spans if e["name"] in COLOURS and begin <= e["ts"] < begin + length]
    used = [tid for tid in sorted(lanes, key=lambda tid: lanes[tid] == "communication") if any(e["tid"] == tid for e in shown)]
    rows = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">'
            % (WIDTH, LANE * len(used) + 70), '<rect width="100%" height="100%" fill="white"/>']
    for row, tid in enumerate(used):
        y = 10 + row * LANE
        rows.append(f'<text x="8" y="{y + 17}">{lanes[tid]}</text>')
        for e in shown:
            if e["tid"] != tid:
                continue
            x, w = LEFT + (e["ts"] - begin) * scale, max(0.6, min(e["dur"], begin + length - e["ts"]) * scale)
            title = e.get("args", {}).get("what", e["name"])
            rows.append(f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="{LANE - 10}" fill="{COLOURS[e["name"]]}" stroke="white" '
                        f'stroke-width="0.5"><title>{title}: {e["dur"] / 1000:.1f} ms</title></rect>')
    y = 10 + len(used) * LANE + 8
    for i in range(6):
        x = LEFT + i / 5 * length * scale
        rows.append(f'<text x="{x:.0f}" y="{y + 10}" text-anchor="middle">{i / 5 * length / 1000:.0f} ms</text>')
    for i, name in enumerate(name for name in COLOURS if any(e["name"] == name for e in shown)):
        rows.append(f'<rect x="{LEFT + i * 142 - 122}" y="{y + 30}" width="12" height="12" fill="{COLOURS[name]}"/>'
                    f'<text x="{LEFT + i * 142 - 106}" y="{y + 41}">{name}</text>')
    open(sys.argv[2], "w").write("\n".join(rows + ["</svg>"]) + "\n")


main()
