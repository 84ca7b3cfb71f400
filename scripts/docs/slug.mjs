/** The anchor that GitHub gives a heading, so that a link to one leads to the same place there and on the site. */
export const slugOf = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
    .replaceAll(' ', '-')
