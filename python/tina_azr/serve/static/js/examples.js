/**
 * Prompts to begin with. Those of the embedded model are in the fixed words that it was made with (tasks/compact_prompts.py): every
 * byte counts, the last newline too. A test compares them with what self-play sends.
 */

const fence = (tag, body) => `\`\`\`${tag}\n${body}\n\`\`\`\n`;

const PREDICT = "def f(x):\n    x = x * 3\n    x = x + 5\n    return x";
const FIND = "def f(x):\n    x = x * 3\n    x = x - 6\n    return x";

export const EXAMPLES = {
  embedded: [
    {
      title: "Predict the output",
      about: "A program and its input: what does it return?",
      show: `${PREDICT}\n\nf(4) = ?`,
      prompt: `Predict the output.\n${fence("python", PREDICT)}${fence("input", "4")}`,
    },
    {
      title: "Find an input",
      about: "A program and its output: what went in?",
      show: `${FIND}\n\nf(?) = 24`,
      prompt: `Find an input.\n${fence("python", FIND)}${fence("output", "24")}`,
    },
    {
      title: "Write the function",
      about: "A hint and three pairs: which program does that?",
      show: "add; times\n\nf(17) = 36\nf(3) = 8\nf(1) = 4",
      prompt: `Write the function.\n${fence("message", "add; times")}17 -> 36\n3 -> 8\n1 -> 4\n`,
    },
  ],
  general: [
    {
      title: "A proof that fits on a card",
      about: "It has to think, and you see how long it meant to.",
      show: "Why are there infinitely many primes of the form 4k + 3?",
      prompt: "Prove that there are infinitely many primes of the form 4k + 3. Keep the proof short.",
    },
    {
      title: "Code that can be run",
      about: "Run the answer in the sandbox with one click.",
      show: "A function that gives the longest run of equal items",
      prompt:
        "Write a Python function f(items) that returns the longest run of equal consecutive items as (item, length). " +
        "Then explain it in two sentences.",
    },
    {
      title: "A question with a catch",
      about: "Compare its confidence before and after thinking.",
      show: "Three boxes, all labelled wrongly",
      prompt:
        "Three boxes hold apples, oranges, and both. All three labels are wrong. You may take one fruit from one box. " +
        "How do you label them correctly, and why does it work?",
    },
  ],
};
