// A view of the console.

export class Import {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show() {}

  hide() {}
}
