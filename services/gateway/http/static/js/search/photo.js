// Pictures that the visitor gives, made ready for a search.

export class Unusable extends Error {}

export async function prepared(file) {
  if (!file.type.startsWith("image/")) throw new Unusable(`${file.name} is not a picture.`);
  return { blob: file, name: file.name };
}
