// A view of the console.

export class Overview {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show() {}

  hide() {}
}
