// A view of the console.

export class Queries {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show() {}

  hide() {}
}
