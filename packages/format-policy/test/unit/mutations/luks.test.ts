import { testMutations } from '../../mutations.ts'

testMutations('luks')
