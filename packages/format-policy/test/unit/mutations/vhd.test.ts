import { testMutations } from '../../mutations.ts'

testMutations('vhd')
