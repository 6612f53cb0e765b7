/** Configuration that is read before the operator's file. */
export const stockDefaults = `
<bounce-category-patterns>
  // other
</bounce-category-patterns>
`;
