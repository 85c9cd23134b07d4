/** Server-sent events from a fetch body (EventSource cannot POST). */

/**
 * The `data:` payloads of a stream, in order, until it ends.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string>}
 */
export async function* payloads(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // A chunk may end anywhere, inside "\r\n" too: the last, incomplete line waits for the next one.
      const lines = (pending + value).split(/\r\n|\n|\r(?!$)/);
      pending = lines.pop();
      for (const line of lines) {
        if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
    }
  } finally {
    // Leaving early must hang up, so that the server stops.
    await reader.cancel().catch(() => {});
  }
}
