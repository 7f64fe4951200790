// Markdown → elements. Text goes in through textContent only, so nothing that a model writes becomes markup or script.

const inlinePattern = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*(\S(?:.*?\S)?)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/s;

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function inline(text) {
  const nodes = [];
  for (let rest = text; rest; ) {
    const found = inlinePattern.exec(rest);
    if (!found) {
      nodes.push(rest);
      break;
    }
    if (found.index) nodes.push(rest.slice(0, found.index));
    const [all, ticks, code, strong, strong2, emphasis, label, address] = found;
    if (ticks) nodes.push(element("code", code));
    else if (strong ?? strong2) nodes.push(element("strong", ...inline(strong ?? strong2)));
    else if (emphasis) nodes.push(element("em", ...inline(emphasis)));
    else {
      const link = element("a", label);
      link.href = address;
      link.rel = "noopener noreferrer nofollow";
      link.target = "_blank";
      nodes.push(link);
    }
    rest = rest.slice(found.index + all.length);
  }
  return nodes;
}

const cells = (line) => line.replace(/^\s*\||\|\s*$/g, "").split("|").map((cell) => cell.trim());

/** The elements of one message; an unfinished block at the end is shown as far as it has come. */
export function render(text) {
  const lines = text.split("\n");
  const blocks = [];
  let paragraph = [];
  const close = () => {
    if (paragraph.length) blocks.push(element("p", ...inline(paragraph.join("\n"))));
    paragraph = [];
  };
  for (let at = 0; at < lines.length; ) {
    const line = lines[at];
    const fence = /^\s*(```+|~~~+)\s*(\S*)/.exec(line);
    if (fence) {
      close();
      const body = [];
      for (at++; at < lines.length && !lines[at].trim().startsWith(fence[1]); at++) body.push(lines[at]);
      at++;
      if (!body.some((line) => line.trim())) continue; // an empty box says nothing
      const block = element("pre", element("code", body.join("\n")));
      block.tabIndex = 0; // long lines scroll, by the keyboard too
      blocks.push(block);
      continue;
    }
    const heading = /^#{1,6}\s+(.*)/.exec(line);
    if (heading) {
      close();
      blocks.push(element("h3", ...inline(heading[1])));
      at++;
      continue;
    }
    const item = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)/.exec(line);
    if (item) {
      close();
      const list = element(item[1] ? "ol" : "ul");
      if (item[1]) list.start = Number(item[1]);
      for (let next; (next = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)/.exec(lines[at] ?? "")) && !next[1] === !item[1]; at++) {
        list.append(element("li", ...inline(next[2])));
      }
      blocks.push(list);
      continue;
    }
    if (line.startsWith(">")) {
      close();
      const body = [];
      for (; lines[at]?.startsWith(">"); at++) body.push(lines[at].replace(/^> ?/, ""));
      blocks.push(element("blockquote", ...inline(body.join("\n"))));
      continue;
    }
    if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/.test(lines[at + 1] ?? "")) {
      close();
      const head = element("tr", ...cells(line).map((cell) => element("th", ...inline(cell))));
      const table = element("table", element("thead", head));
      const body = element("tbody");
      for (at += 2; lines[at]?.includes("|"); at++) body.append(element("tr", ...cells(lines[at]).map((cell) => element("td", ...inline(cell)))));
      table.append(body);
      blocks.push(table);
      continue;
    }
    if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      close();
      blocks.push(element("hr"));
    } else if (line.trim()) paragraph.push(line);
    else close();
    at++;
  }
  close();
  return blocks;
}
