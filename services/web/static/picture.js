// A shopper's picture: made small enough to travel, kept in memory only.

const LONGEST_PX = 1600;
const SMALL_BYTES = 1_500_000;
const KNOWN = ["image/jpeg", "image/png", "image/webp"];

/** {blob, url, name}. What is no picture goes as it is: the server says why it is refused. */
export async function prepared(file) {
  const blob = KNOWN.includes(file.type) ? await shrunk(file) : file;
  return { blob, url: URL.createObjectURL(blob), name: file.name || "picture" };
}

async function shrunk(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return file;
  const scale = LONGEST_PX / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1 && file.size <= SMALL_BYTES) {
    bitmap.close();
    return file;
  }
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * Math.min(1, scale)));
  canvas.height = Math.max(1, Math.round(bitmap.height * Math.min(1, scale)));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return (await new Promise((made) => canvas.toBlob(made, "image/jpeg", 0.9))) ?? file;
}

/** The first picture among what was dropped or pasted, else the first file; null if there is none. */
export function pictureOf(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}
