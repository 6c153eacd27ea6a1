// The filters beside the hits.

export class Filters {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  draw() {}

  reset() {}
}
