import { microservice, service } from "msx";

const tax = service("tax"); // in Python

const PRICES = { apple: 300, pear: 400 };

export const price = microservice((item, count = 1) => {
  if (!(item in PRICES)) throw new RangeError(`there is no ${item}`);
  return PRICES[item] * count;
});

/** The prices of all items at the same time, then the tax. */
export const quote = microservice(async (items) => {
  const entries = Object.entries(items);
  const prices = await Promise.all(entries.map(([item, count]) => price(item, count)));
  const net = prices.reduce((sum, one) => sum + one, 0);
  return { net, tax: await tax(net) };
});
