// A view of the console.

export class Models {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show() {}

  hide() {}
}
