import { testMutations } from '../../mutations.ts'

testMutations('vdi', 'parallels')
