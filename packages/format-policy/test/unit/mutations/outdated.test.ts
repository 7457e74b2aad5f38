import { testMutations } from '../../mutations.ts'

testMutations('qcow', 'qed', 'bochs', 'dmg')
