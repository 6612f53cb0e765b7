import { accountEndpoints } from './account-routes.ts';
import { documentationEndpoints } from './documentation-routes.ts';
import type { Endpoint } from './endpoint.ts';
import { ingestEndpoints } from './ingest-routes.ts';
import { keyEndpoints } from './key-routes.ts';
import { metricsEndpoints } from './metrics-routes.ts';
import { openApiDocument } from './openapi.ts';
import { privacyEndpoints } from './privacy-routes.ts';
import { searchEndpoints } from './search-routes.ts';
import { serviceEndpoints } from './service-routes.ts';
import { signInEndpoints } from './sign-in-routes.ts';
import { signalsEndpoints } from './signals-routes.ts';

const openApi: Endpoint = {
  id: 'getOpenApi',
  method: 'GET',
  path: '/api/v1/openapi.json',
  tag: 'Service',
  summary: 'This description, as OpenAPI 3.1',
  access: 'anyone',
  parameters: [],
  body: null,
  good: { status: 200, description: 'The document.', schema: { type: 'object' } },
  faults: [],
  handle: async ({ services }) => openApiDocument(endpoints, services.version),
};

/** Everything but the web interface. A new end point is declared in the file of its resource and listed here. */
export const endpoints: readonly Endpoint[] = [
  ...searchEndpoints,
  ...ingestEndpoints,
  ...documentationEndpoints,
  ...metricsEndpoints,
  ...signalsEndpoints,
  ...signInEndpoints,
  ...privacyEndpoints,
  ...accountEndpoints,
  ...keyEndpoints,
  ...serviceEndpoints,
  openApi,
];
