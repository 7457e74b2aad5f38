/** The files of one case, as text, and what is asked for. */
export interface CloudFiles {
  readonly clouds: string
  readonly secure?: string
  readonly vendor?: string
  readonly cloud?: string
  readonly region?: string
  readonly environment?: Readonly<Record<string, string>>
}

const account =
  'auth_url: http://k/v3, username: u, password: p, project_name: t, user_domain_name: Default, project_domain_name: Default'
export const cloudFiles: readonly CloudFiles[] = [
  { clouds: `clouds: {c: {auth: {${account}}}}` },
  { clouds: `clouds: {c: {auth: {${account}}, region_name: r}}` },
  { clouds: `clouds: {c: {auth: {${account}}, region_name: "a,b"}}` },
  { clouds: `clouds: {c: {auth: {${account}}, region_name: [a, b]}}` },
  { clouds: `clouds: {c: {auth: {${account}}, region_name: b, regions: [a, b]}}` },
  {
    clouds: `clouds: {c: {auth: {${account}}, regions: [a, {name: b, values: {auth: {auth_url: http://b/v3}, interface: internal}}]}}`,
    region: 'b',
  },
  { clouds: `clouds: {c: {auth: {${account}}, regions: [{name: b, values: {auth: {username: other}}}]}}` },
  { clouds: `clouds: {c: {auth: {${account}}, regions: [a]}}`, region: 'z' },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3}, username: u, password: p, project_name: t, user_domain_name: D, project_domain_name: D}}`,
  },
  { clouds: `clouds: {c: {auth: {${account}}, username: top, password: top, project_name: top}}` },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: p, tenant_name: t, domain_name: D}}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: p, tenant_name: t, project_name: q, domain_id: D, user_domain_name: N}}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: p, user_domain_name: N, domain_name: D}}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: p, user_domain_name: N}, domain_name: D}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth-url: http://k/v3, user-name: u, password: p, project-name: t, user-domain-name: N, project-domain-name: N}}}`,
  },
  { clouds: `clouds: {c: {auth: {${account}}, interface: internal, endpoint_type: admin}}` },
  { clouds: `clouds: {c: {auth: {${account}}, interface: internal, image_interface: admin}}` },
  { clouds: `clouds: {c: {auth: {${account}}, image_endpoint_type: admin}}` },
  { clouds: `clouds: {c: {auth: {${account}}, verify: false}}` },
  { clouds: `clouds: {c: {auth: {${account}}, verify: no, cacert: /x.pem}}` },
  { clouds: `clouds: {c: {auth: {${account}}, insecure: on}}` },
  { clouds: `clouds: {c: {auth: {${account}}, insecure: "True"}}` },
  { clouds: `clouds: {c: {auth: {${account}}, cacert: ~/x.pem, cert: ~/c.pem, key: ~/k.pem}}` },
  {
    clouds: `clouds: {c: {profile: v, auth: {username: u, password: p, project_name: t}}}`,
    vendor: `public-clouds: {v: {auth: {auth_url: "http://{region_name}.v/v3", user_domain_name: D, project_domain_name: D}, regions: [r1, r2], interface: internal}}`,
  },
  {
    clouds: `clouds: {c: {cloud: v, auth: {username: u, password: p, project_name: t, auth_url: http://mine/v3}, region_name: r2}}`,
    vendor: `public-clouds: {v: {auth: {auth_url: "http://{region_name}.v/v3", user_domain_name: D, project_domain_name: D}, regions: [r1, r2], interface: internal}}`,
  },
  { clouds: `clouds: {c: {profile: nowhere, auth: {${account}}}}` },
  ...[
    'auro',
    'betacloud',
    'catalyst',
    'citycloud',
    'conoha',
    'dreamcompute',
    'elastx',
    'entercloudsuite',
    'fuga',
    'ibmcloud',
    'internap',
    'limestonenetworks',
    'otc',
    'ovh',
    'ovh-us',
    'rackspace',
    'switchengines',
    'ultimum',
    'unitedstack',
    'zetta',
  ].map((name) => ({
    clouds: `clouds: {c: {profile: ${name}, auth: {username: u, password: p, project_name: t}}}`,
  })),
  {
    clouds: `clouds: {c: {profile: ovh, auth: {username: u, password: p, project_name: t}, region_name: GRA1}}`,
  },
  {
    clouds: `clouds: {c: {profile: otc, auth: {username: u, password: p, project_name: t}}}`,
    region: 'eu-nl',
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, project_name: t}}}`,
    secure: `clouds: {c: {auth: {password: s, username: v}, region_name: x}}`,
  },
  { clouds: `clouds: {c: {}}`, secure: `clouds: {d: {auth: {${account}}}}`, cloud: 'd' },
  { clouds: `clouds: {c: {auth: {${account}}}, d: {auth: {${account}}}}`, cloud: 'z' },
  {
    clouds: `clouds: {c: {auth: {${account}}}, d: {auth: {${account}}, region_name: d}}`,
    environment: { OS_CLOUD: 'd' },
  },
  {
    clouds: `clouds: {c: {auth: {${account}}}}`,
    environment: {
      OS_AUTH_URL: 'http://e/v3',
      OS_USERNAME: 'e',
      OS_PASSWORD: 'e',
      OS_TENANT_NAME: 'e',
      OS_REGION_NAME: 'r',
      OS_USER_DOMAIN_NAME: 'x',
      OS_PROJECT_DOMAIN_ID: 'y',
      OS_ENDPOINT_TYPE: 'internal',
    },
  },
  {
    clouds: `clouds: {c: {auth: {${account}}}}`,
    environment: {
      OS_CLOUD_NAME: 'mine',
      OS_AUTH_URL: 'http://e/v3',
      OS_USERNAME: 'e',
      OS_PASSWORD: 'e',
      OS_TENANT_NAME: 'e',
    },
  },
  {
    clouds: `clouds: {c: {auth: {${account}}}}`,
    environment: {
      OS_CLOUD_NAME: 'c',
      OS_AUTH_URL: 'http://e/v3',
      OS_USERNAME: 'e',
      OS_PASSWORD: 'e',
      OS_TENANT_NAME: 'e',
    },
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, application_credential_id: 123456, application_credential_secret: s}, auth_type: v3applicationcredential}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: p, user_domain_name: D, project_id: 40518395283147109362710548291736}}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: p, user_domain_name: D, system_scope: all}}}`,
  },
  {
    clouds: `clouds: {c: {auth: {auth_url: http://k/v3, username: u, password: "{region_name}", user_domain_name: "{x}", project_name: "{region_name}"}, region_name: r, image_endpoint_override: "http://{region_name}.img"}}`,
  },
  {
    clouds: `b: &b {auth: &a {${account}}, region_name: r}\nclouds:\n  c:\n    <<: *b\n    auth:\n      <<: *a\n      project_name: other`,
  },
  { clouds: `clouds: {c: {auth: {${account}}, image_endpoint_override: http://i}}` },
  {
    clouds: `clouds: {c: {auth_type: v3token, auth: {auth_url: http://k/v3, token: tt, project_name: t, project_domain_name: D}}}`,
  },
  { clouds: `clouds: {c: {auth_type: none, auth: {endpoint: http://i}}}` },
  { clouds: `clouds: {c: {auth_type: admin_token, auth: {endpoint: http://i, token: x}}}` },
  { clouds: `clouds: {c: {auth_type: token_endpoint, auth: {url: http://i, token: x}}}` },
  { clouds: `clouds: {c: ` },
  { clouds: `` },
  { clouds: `[a]` },
  { clouds: `clouds: [a]` },
  { clouds: 'clouds:' },
  { clouds: 'clouds: {c: text}' },
  { clouds: 'clouds: {c: {auth: text}}' },
]
