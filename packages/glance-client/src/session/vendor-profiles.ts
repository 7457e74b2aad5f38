import type { Mapping } from './config-yaml.ts'

/** Public clouds that openstacksdk knows without a clouds-public.yaml: where they sign in, and their regions. */
const known: Readonly<Record<string, { url?: string; regions?: string; defaultDomains?: true }>> = {
  auro: { url: 'https://api.van2.auro.io:5000/v3', regions: 'RegionOne', defaultDomains: true },
  betacloud: { url: 'https://api-1.betacloud.de:5000', regions: 'betacloud-1' },
  bluebox: { regions: 'RegionOne' },
  catalyst: { url: 'https://api.cloud.catalyst.net.nz:5000/v2.0', regions: 'nz-por-1 nz_wlg_2' },
  citycloud: {
    url: 'https://{region_name}.citycloud.com:5000/v3/',
    regions: 'Buf1 Fra1 Lon1 Sto2 Kna1 dx1 tky1',
  },
  conoha: { url: 'https://identity.{region_name}.conoha.io', regions: 'sin1 sjc1 tyo1' },
  dreamcompute: { url: 'https://iad2.dream.io:5000', regions: 'RegionOne' },
  elastx: { url: 'https://ops.elastx.cloud:5000/v3', regions: 'se-sto' },
  entercloudsuite: { url: 'https://api.entercloudsuite.com/', regions: 'it-mil1 nl-ams1 de-fra1' },
  fuga: { url: 'https://identity.api.fuga.io:5000', regions: 'cystack', defaultDomains: true },
  ibmcloud: { url: 'https://identity.open.softlayer.com', regions: 'london' },
  internap: { url: 'https://identity.api.cloud.iweb.com', regions: 'ams01 da01 nyj01 sin01 sjc01' },
  limestonenetworks: { url: 'https://auth.cloud.lstn.net:5000/v3', regions: 'us-dfw-1 us-slc' },
  otc: { url: 'https://iam.{region_name}.otc.t-systems.com/v3', regions: 'eu-de eu-nl' },
  ovh: {
    url: 'https://auth.cloud.ovh.net/',
    regions: 'BHS BHS1 BHS3 BHS5 DE DE1 GRA GRA1 GRA5 GRA7 SBG SBG1 SBG5 UK UK1 WAW WAW1 SYD1 SGP1',
    defaultDomains: true,
  },
  'ovh-us': { url: 'https://auth.cloud.ovh.us/', regions: 'US-EAST-VA-1', defaultDomains: true },
  rackspace: { url: 'https://identity.api.rackspacecloud.com/v2.0/', regions: 'DFW HKG IAD ORD SYD LON' },
  switchengines: { url: 'https://keystone.cloud.switch.ch:5000/v3', regions: 'LS ZH' },
  ultimum: { url: 'https://console.ultimum-cloud.com:5000/' },
  unitedstack: { url: 'https://identity.api.ustack.com/v3', regions: 'bj1 gd1' },
  zetta: { url: 'https://identity.api.zetta.io/v3', regions: 'no-osl1' },
}

/** The settings of a public cloud, as an entry of clouds-public.yaml would have them; undefined for a stranger. */
export function vendorProfile(name: string): Mapping | undefined {
  const profile = Object.hasOwn(known, name) ? known[name] : undefined
  if (profile === undefined) return undefined
  const domains = { user_domain_name: 'Default', project_domain_name: 'Default' }
  return {
    auth: {
      ...(profile.url === undefined ? {} : { auth_url: profile.url }),
      ...(profile.defaultDomains === true ? domains : {}),
    },
    ...(profile.regions === undefined ? {} : { regions: profile.regions.split(' ') }),
  }
}
