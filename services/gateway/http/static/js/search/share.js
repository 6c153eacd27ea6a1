// Links that bring a friend to the same search.

export async function sharedPhoto() {
  return null;
}
