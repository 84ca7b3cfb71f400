// @ts-expect-error no types of Node, none of the DOM: nothing of calloff brings a console along
console.log('bare')
