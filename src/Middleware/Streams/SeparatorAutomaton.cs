using System.Buffers;
using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <summary>
/// Finds the first of many separators in one pass (Aho-Corasick): the cost of a byte does not depend on the number of separators or on the
/// prefixes that they share. The state is one integer, so that a search resumes at the end of the previous segment.
/// </summary>
internal sealed class SeparatorAutomaton
{
    /// <summary>Up to this many separators, one vectorised pass for each costs less than one pass byte by byte.</summary>
    public const int MostPasses = 4;

    // Callers pass the same list to every read. The list is the key; its content is compared because the caller may have changed it.
    private static readonly ConditionalWeakTable<IReadOnlyList<ReadOnlyMemory<byte>>, SeparatorAutomaton> Known = [];

    // A list that is created for each read (a collection expression in a loop, a boxed ImmutableArray) has the content of the previous one.
    [ThreadStatic]
    private static SeparatorAutomaton? _last;

    private readonly byte[][] _separators;
    private readonly SearchValues<byte> _firstBytes;

    // For each state: its edges are [_edges[state], _edges[state + 1]) of _labels and _targets; _suffixes has the state of its longest
    // proper suffix; _ends the length of the shortest separator that ends in it, or 0.
    private readonly int[] _edges;
    private readonly byte[] _labels;
    private readonly int[] _targets;
    private readonly int[] _suffixes;
    private readonly int[] _ends;

    private SeparatorAutomaton(byte[][] separators)
    {
        _separators = separators;
        Shortest = separators.Min(static separator => separator.Length);
        Longest = separators.Max(static separator => separator.Length);
        _firstBytes = SearchValues.Create([.. separators.Where(static separator => separator.Length > 0).Select(static separator => separator[0])]);

        // States are numbered in breadth-first order: the suffix of a state is shorter, so it has its number first.
        List<SortedDictionary<byte, int>> trie = Trie(separators, out List<int> whole);
        int[] order = new int[trie.Count];
        int[] number = new int[trie.Count];
        _edges = new int[trie.Count + 1];
        _labels = new byte[trie.Count - 1];
        _targets = new int[trie.Count - 1];
        _suffixes = new int[trie.Count];
        _ends = new int[trie.Count];
        int known = 1;
        for (int state = 0; state < order.Length; state++)
        {
            _edges[state + 1] = _edges[state];
            foreach ((byte label, int node) in trie[order[state]])
            {
                int edge = _edges[state + 1]++;
                _labels[edge] = label;
                _targets[edge] = number[node] = known;
                order[known++] = node;
            }
        }

        for (int state = 0; state < order.Length; state++)
        {
            int shorter = _ends[_suffixes[state]];
            _ends[state] = shorter > 0 ? shorter : whole[order[state]];
            for (int edge = _edges[state]; edge < _edges[state + 1]; edge++)
            {
                _suffixes[_targets[edge]] = state == 0 ? 0 : Next(_suffixes[state], _labels[edge]);
            }
        }
    }

    /// <summary>The length of the shortest separator.</summary>
    public int Shortest { get; }

    /// <summary>The length of the longest separator.</summary>
    public int Longest { get; }

    /// <summary>Returns the automaton of these separators, cached by the list and by its content.</summary>
    public static SeparatorAutomaton For(IReadOnlyList<ReadOnlyMemory<byte>> separators)
    {
        if (_last is SeparatorAutomaton last && last.IsOf(separators))
        {
            return last;
        }

        if (!Known.TryGetValue(separators, out SeparatorAutomaton? known) || !known.IsOf(separators))
        {
            known = new SeparatorAutomaton([.. separators.Select(static separator => separator.ToArray())]);
            Known.AddOrUpdate(separators, known);
        }

        return _last = known;
    }

    /// <summary>Searches from <paramref name="from"/> for the separator that ends first; of two that end together, the shortest (R12).</summary>
    /// <param name="buffer">All buffered bytes.</param>
    /// <param name="from">The position at which the previous search ended.</param>
    /// <param name="state">The state after the previous search; 0 at first.</param>
    /// <param name="start">The start of the separator; less than <paramref name="from"/> if it began in bytes that were searched before.</param>
    /// <param name="end">The position after its last byte.</param>
    public bool TryFind(in ReadOnlySequence<byte> buffer, long from, ref int state, out long start, out long end)
    {
        long offset = from;
        foreach (ReadOnlyMemory<byte> segment in buffer.Slice(from))
        {
            int taken = Search(segment.Span, ref state);
            offset += taken;
            if (_ends[state] > 0)
            {
                (start, end) = (offset - _ends[state], offset);
                return true;
            }
        }

        (start, end) = (-1, -1);
        return false;
    }

    /// <summary>Advances the state until a separator has ended. Returns the number of bytes that it consumed.</summary>
    private int Search(ReadOnlySpan<byte> bytes, ref int state)
    {
        int i = 0;
        while (i < bytes.Length)
        {
            if (state == 0)
            {
                int skipped = bytes[i..].IndexOfAny(_firstBytes);
                if (skipped < 0)
                {
                    return bytes.Length;
                }

                i += skipped;
            }

            state = Next(state, bytes[i++]);
            if (_ends[state] > 0)
            {
                break;
            }
        }

        return i;
    }

    private int Next(int state, byte value)
    {
        while (true)
        {
            int first = _edges[state];
            int edge = _labels.AsSpan(first, _edges[state + 1] - first).IndexOf(value);
            if (edge >= 0)
            {
                return _targets[first + edge];
            }

            if (state == 0)
            {
                return 0;
            }

            state = _suffixes[state];
        }
    }

    private bool IsOf(IReadOnlyList<ReadOnlyMemory<byte>> separators)
    {
        if (separators.Count != _separators.Length)
        {
            return false;
        }

        for (int i = 0; i < _separators.Length; i++)
        {
            if (!separators[i].Span.SequenceEqual(_separators[i]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Builds the trie; <paramref name="whole"/> has, for each node, the length of the separator that ends there, or 0.</summary>
    private static List<SortedDictionary<byte, int>> Trie(byte[][] separators, out List<int> whole)
    {
        List<SortedDictionary<byte, int>> trie = [[]];
        whole = [0];
        foreach (byte[] separator in separators)
        {
            int node = 0;
            foreach (byte value in separator)
            {
                if (!trie[node].TryGetValue(value, out int child))
                {
                    child = trie.Count;
                    trie[node].Add(value, child);
                    trie.Add([]);
                    whole.Add(0);
                }

                node = child;
            }

            whole[node] = separator.Length;
        }

        return trie;
    }
}
