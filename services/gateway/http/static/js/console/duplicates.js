// A view of the console.

export class Duplicates {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show() {}

  hide() {}
}
